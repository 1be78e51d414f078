"""What workers say they are at, in memory."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from ..running import LASTS_MS, RunningAttempt, WorkerReport
from .remembered import Remembered


class MemoryRunning:
    """Keeps what workers of a `MemoryMailbox` tell; implements `Running`.

    `entered` is how the mailbox is entered: its lock held, and the time told.
    """

    def __init__(self, entered: Callable[[], AbstractContextManager[int]]) -> None:
        self._entered = entered
        self._told: Remembered[str, tuple[int, WorkerReport]] = Remembered()

    def tell(self, owner: str, attempts: Sequence[RunningAttempt], more: int = 0) -> None:
        """See `Running.tell`."""
        with self._entered() as now:
            self._told.forget(owner)
            if attempts:
                report = WorkerReport(owner, 0, tuple(attempts), more)
                self._told.put(owner, (now, report), now=now, until=now + LASTS_MS)

    def reports(self) -> tuple[WorkerReport, ...]:
        """See `Running.reports`."""
        with self._entered() as now:
            told = sorted(self._told.values(now), key=lambda each: each[1].owner)
        return tuple(
            WorkerReport(report.owner, now - at, report.attempts, report.more) for at, report in told
        )
