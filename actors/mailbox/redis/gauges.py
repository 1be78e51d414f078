"""The gauges of the mailbox on a server."""

from collections.abc import Callable
from typing import Any

from ....observability.state import MailboxState, QueueState, ServerMemory
from .records import Ask


class RedisGauges:
    """Looks at the queues of a workspace on a server; implements `Gauges`.

    `server` tells the server's name and version, `lasting_ms` is how long a worker counts as there.
    """

    def __init__(self, ask: Ask, server: Callable[[], str], lasting_ms: int) -> None:
        self._ask = ask
        self._server = server
        self._lasting_ms = lasting_ms
        self._name = ""

    def read(self) -> MailboxState:
        """See `Gauges.read`."""
        if not self._name:
            self._name = self._server()
        queues, memory = self._ask("gauges", self._lasting_ms)
        return MailboxState(
            self._name, tuple(map(_read_queue, queues)), ServerMemory(*memory) if memory else None
        )


def _read_queue(answer: list[Any]) -> QueueState:
    name, *numbers = answer
    return QueueState(name.decode(), *numbers)
