"""Makes the faults of a schedule when they are due, and mends what is to be mended after them."""

import heapq
import time
from collections.abc import Callable
from functools import partial
from itertools import count

from . import process_faults, server_faults
from .faults import Fault, FaultKind
from .scene import Scene

Maker = Callable[[Scene, Fault], bool]
"""Makes a fault; False when there is nothing to make it on."""

MAKERS: dict[FaultKind, Maker] = {
    "kill worker": process_faults.kill_worker,
    "kill publisher": process_faults.kill_publisher,
    "end worker": process_faults.end_worker,
    "stop worker": process_faults.stop_worker,
    "trap": process_faults.set_trap,
    "kill server": server_faults.kill_server,
    "stop server": server_faults.stop_server,
    "stop server for long": server_faults.stop_server,
    "load server": server_faults.load_server,
    "flush scripts": server_faults.flush_scripts,
    "full": server_faults.fill,
    "read only": server_faults.make_read_only,
    "forbid": server_faults.forbid,
    "cut": process_faults.cut,
    "refuse": process_faults.refuse,
    "reset": process_faults.reset,
    "black hole": process_faults.black_hole,
    "set clock": process_faults.set_clock,
    "crowd": process_faults.call_crowd,
}


class Timeline:
    """What is to be done at which moment of the monotonic clock."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def __bool__(self) -> bool:
        return bool(self._due)

    def at(self, moment: float, what: Callable[[], None]) -> None:
        """Do something at a moment."""
        heapq.heappush(self._due, (moment, next(self._order), what))

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something after a time."""
        self.at(time.monotonic() + seconds, what)

    def do_due(self) -> None:
        """Do all that is due."""
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()


def plan(timeline: Timeline, scene: Scene, began: float, faults: list[Fault]) -> list[str]:
    """Let faults be made as their schedule says; the names of those that were made gather in the list."""
    made: list[str] = []

    def make(fault: Fault) -> None:
        if MAKERS[fault.kind](scene, fault):
            made.append(fault.name)

    for fault in faults:
        timeline.at(began + fault.at, partial(make, fault))
    return made
