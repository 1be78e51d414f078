"""The event loop of a worker process: `async def` handlers run here, and none of them holds a thread."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from ..messages.delivery import Delivery
from .gathering import Gathered

Perform = Callable[[Delivery | Gathered], Coroutine[Any, Any, None]]
"""Runs one attempt, or those of a batch, and settles them."""


class EventLoop:
    """Runs up to `in_flight` deliveries at a time; the others wait in line.

    A batch counts as all its deliveries, and one of more than `in_flight` runs by itself.
    `freed` is called when one has ended, so that more can be fetched.
    """

    def __init__(self, perform: Perform, *, in_flight: int, freed: Callable[[], None]) -> None:
        self._perform = perform
        self._in_flight = in_flight
        self._freed = freed
        self._line: deque[Delivery | Gathered] = deque()
        self._running: dict[asyncio.Task[None], int] = {}
        self._busy = 0
        """Deliveries that run."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="callboard-loop", daemon=True)
        self._stopping = False
        self.started = 0
        """Deliveries started in all."""
        self._asked = self._answered = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self) -> int:
        """Ask the loop to show that it moves: another number than the last time if it has."""
        if self._asked == self._answered:
            self._asked += 1
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._answer)
        return self._answered

    @property
    def room(self) -> int:
        """How many more deliveries could run now."""
        return self._in_flight - self._busy - sum(map(_count, tuple(self._line)))

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits in line: then even the largest batch may start."""
        return not self._running and not self._line

    def put(self, turns: Sequence[Delivery | Gathered]) -> None:
        """Start deliveries or batches, or let them wait in line."""
        self._line.extend(turns)
        self._loop.call_soon_threadsafe(self._admit)

    def clear(self) -> list[Delivery]:
        """Take back what has not started."""
        taken: list[Delivery] = []
        while self._line:
            try:
                turn = self._line.popleft()
            except IndexError:
                break  # the loop was quicker
            taken += turn.deliveries if isinstance(turn, Gathered) else (turn,)
        return taken

    def admit_no_more(self) -> None:
        """Start nothing more; what is put from now on waits in line to be taken back."""
        self._stopping = True

    def stop(self, seconds: float) -> None:
        """Wait for what runs, for at most `seconds`; then cancel it and end the loop."""
        self.admit_no_more()
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._finish(seconds), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _answer(self) -> None:
        self._answered += 1

    def _admit(self) -> None:
        while not self._stopping:
            try:
                count = _count(self._line[0])
                if self._running and self._busy + count > self._in_flight:
                    return
                turn = self._line.popleft()
            except IndexError:
                return  # none is left, or they were taken back
            self.started += count
            self._busy += count
            task = self._loop.create_task(self._perform(turn))
            self._running[task] = count
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._busy -= self._running.pop(task, 0)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a delivery's task failed", "exception": error})
        self._admit()
        if not self._line:
            self._freed()

    async def _finish(self, seconds: float) -> None:
        if self._running:
            _done, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)


def _count(turn: Delivery | Gathered) -> int:
    return len(turn.deliveries) if isinstance(turn, Gathered) else 1
