"""How much more one consumer may fetch: what its threads, the event loop and dramatiq have room for."""

from typing import TYPE_CHECKING

from .intake import Intake
from .room import MOST_AT_ONCE, Room
from .threads import Threads

if TYPE_CHECKING:
    from .worker import WorkerProcess


class Capacity:
    """What one consumer has room for. Times are monotonic seconds; `taken` counts from its start."""

    def __init__(
        self,
        worker: "WorkerProcess",
        queue: str,
        intake: Intake,
        threads: Threads,
        *,
        room: Room,
        most_plain: int,
    ) -> None:
        self._worker = worker
        self._queue = queue
        self._intake = intake
        self._threads = threads
        self._most_plain = most_plain
        """Plain messages held at a time: dramatiq keeps them, so they cannot be given back while it runs."""
        self._room = room

    @property
    def busy(self) -> int:
        """Threads that work for this consumer."""
        return len(self._threads) + self._intake.messages_out

    @property
    def free_threads(self) -> int:
        """Threads that have nothing to do, and that nothing in the buffer is for."""
        worker, intake = self._worker, self._intake
        busy = sum(each.capacity.busy for each in worker.consumers)
        return worker.threads - busy + intake.messages_out - len(intake.buffer)

    def room(self, now: float, taken: int) -> int:
        """Deliveries to fetch."""
        declared, loop, intake = self._worker.broker.declared, self._worker.loop, self._intake
        size = declared.largest_batch(self._queue)
        for_threads = self._for_threads(now, taken, has_batches=bool(size))
        if declared.is_plain(self._queue):
            return self._for_plain(for_threads)
        has_async = declared.has_async(self._queue)
        if not size and not has_async:
            return for_threads
        gathered = len(intake.gathering)
        in_batches = min(self._turns() * size - gathered, MOST_AT_ONCE)
        if not has_async:
            return self._room.for_both(for_threads, in_batches, spare=in_batches, taken=taken)
        # What the event loop has no room for would wait in line here, out of other workers' reach.
        on_loop = loop.room - gathered
        if size and loop.is_idle:
            on_loop = max(on_loop, min(size - gathered, MOST_AT_ONCE))
        if on_loop <= 0 or not declared.has_sync(self._queue):
            return on_loop
        spare = max(self._worker.threads - len(intake.buffer), in_batches)
        return self._room.for_both(for_threads, on_loop, spare=spare, taken=taken)

    def stands(self, now: float, taken: int) -> bool:
        """Whether what waits for threads has stood for too long, and is to be given back."""
        waiting = len(self._intake.buffer) + self._intake.is_overdue
        return self._room.stands(now, taken, waiting)

    def _for_threads(self, now: float, taken: int, *, has_batches: bool) -> int:
        buffer, out = self._intake.buffer, self._intake.messages_out
        waiting = buffer.deliveries + len(self._intake.gathering) if has_batches else len(buffer)
        free = max(0, self.free_threads + len(buffer))
        return self._room.for_threads(now, taken, free=free, waiting=waiting + out)

    def _turns(self) -> int:
        """Threads that have room for a whole batch."""
        return min(1, self.free_threads) if self._threads.crowded else self.free_threads

    def _for_plain(self, room: int) -> int:
        """Where actors differ in priority, hold as much as dramatiq does, for it to have a choice."""
        most = self._most_plain - self._intake.messages_out
        return most if self._worker.broker.declared.has_priorities else min(room, most)
