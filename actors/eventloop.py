"""The event loop of a worker process: `async def` handlers run here, and none of them holds a thread."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ..messages.delivery import Delivery

Perform = Callable[[Delivery], Coroutine[Any, Any, None]]
"""Runs one attempt and settles it."""


class EventLoop:
    """Runs up to `in_flight` deliveries at a time; the others wait in line.

    `freed` is called when one has ended, so that more can be fetched.
    """

    def __init__(self, perform: Perform, *, in_flight: int, freed: Callable[[], None]) -> None:
        self._perform = perform
        self._in_flight = in_flight
        self._freed = freed
        self._line: deque[Delivery] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="callboard-loop", daemon=True)
        self._stopping = False
        self.started = 0
        """Deliveries started in all."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def room(self) -> int:
        """How many more deliveries could run now."""
        return self._in_flight - len(self._running) - len(self._line)

    def put(self, deliveries: list[Delivery]) -> None:
        """Start deliveries, or let them wait in line."""
        self._line.extend(deliveries)
        self._loop.call_soon_threadsafe(self._admit)

    def clear(self) -> list[Delivery]:
        """Take back what has not started."""
        taken: list[Delivery] = []
        while self._line:
            try:
                taken.append(self._line.popleft())
            except IndexError:
                break  # the loop was quicker
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

    def _admit(self) -> None:
        while self._line and not self._stopping and len(self._running) < self._in_flight:
            try:
                delivery = self._line.popleft()
            except IndexError:
                return  # taken back
            self.started += 1
            task = self._loop.create_task(self._perform(delivery))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
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
