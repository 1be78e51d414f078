"""How a worker process is, as its own parts tell: whether they are there, and whether they move."""

import threading
import time
from typing import TYPE_CHECKING

from ..observability.report import Vitals
from ..observability.stillness import Stillness

if TYPE_CHECKING:
    import dramatiq
    from dramatiq.worker import ConsumerThread

    from .worker import WorkerProcess

SERVING = ("callboard-settler", "callboard-renewer", "callboard-items", "callboard-loop")
"""The threads of a worker process that all others need."""

HANGS_AFTER = 120.0
"""Seconds that a part may take for one step. A call of the server ends after five, but where nobody answers
for its name, looking that up takes five for each of the resolver's tries, servers and search domains."""


class Pulse:
    """Looks at the parts of a process whenever it is asked, which is once a second."""

    def __init__(self, process: "WorkerProcess", worker: "dramatiq.Worker") -> None:
        self._process = process
        self._worker = worker
        self._stillness = Stillness()

    def take(self) -> Vitals:
        """How the process is now. One that stops loses its parts one after another, and none is missed."""
        process = self._process
        still = self._stillness.look(self._marks(), time.monotonic())
        hanging = {part: seconds for part, seconds in still.items() if seconds > HANGS_AFTER}
        return Vitals(
            process.threads,
            process.busy_threads,
            len(process.stuck),
            () if process.stopping else self._ended(),
            {} if process.stopping else hanging,
        )

    def _marks(self) -> dict[str, int | None]:
        process = self._process
        consumers = {f"consumer of {queue}": _mark_of(each) for queue, each in self._consumers().items()}
        return consumers | {
            "settler": process.settler.mark,
            "item writer": process.broker.item_writer.mark,
            "renewer": process.renewer.mark,
            "event loop": process.loop.ask(),
        }

    def _ended(self) -> tuple[str, ...]:
        alive = {thread.name for thread in threading.enumerate()}
        ended = [name for name in SERVING if name not in alive]
        threads: list[threading.Thread] = [*self._worker.workers, *self._consumers().values()]
        return (*ended, *(type(thread).__name__ for thread in threads if not thread.is_alive()))

    def _consumers(self) -> dict[str, "ConsumerThread"]:
        return self._worker.consumers.copy()


def _mark_of(thread: "ConsumerThread") -> int | None:
    """What a consumer has come to; -1 if dramatiq has made none yet, None while dramatiq pauses it."""
    return None if thread.paused else getattr(thread.consumer, "mark", -1)
