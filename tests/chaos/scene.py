"""What faults are made on: the processes, the server and the proxy of a round."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import redis

from tests.servers import Server

from .crew import Crew, Member, Role
from .faults import Fault
from .history import History
from .proxy import Proxy


class Scene(msgspec.Struct):
    """Each fault that is made is written into the history with the time it lasted."""

    server: Server
    proxy: Proxy
    crew: Crew
    history: History
    traps: Path
    asked: Path
    """Where processes find what they are asked."""
    calls: dict[str, bytes]
    """What a request holds, by the name of the call it makes."""
    later: Callable[[float, Callable[[], None]], None]
    """Do something after a time in seconds."""
    client: redis.Redis
    server_well: bool = True
    """Whether the server runs and answers."""

    def pick(self, role: Role, fault: Fault) -> Member | None:
        """One of a role, by the fault's dice."""
        there = self.crew.of(role)
        return there[fault.dice % len(there)] if there else None

    def tell(self, fault: Fault, start: float, member: Member | None = None) -> None:
        """Write down a fault that lasted until now; it happened to all if no member is named."""
        self.history.fault(
            fault.kind,
            member=member.name if member else None,
            pid=member.process.pid if member else 0,
            start=start,
            end=time.monotonic(),
        )
