"""One batch, from attempts to an outcome for each: what worker processes and the harness of tests share."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from ..messages.delivery import Outcome
from ..middleware.attempt import Attempt
from ..middleware.batch_run import Report
from ..middleware.batched import Batched
from ..middleware.guarded import fault
from ..middleware.timeout import TOO_LATE
from .hooks import EventHooks, Hooked


def perform_batch(hooks: EventHooks, guarded: Batched, attempts: Sequence[Attempt], report: Report) -> None:
    """Run a `def` handler on this thread and report what each attempt came to; never raises."""
    with _between_hooks(hooks, attempts, report) as (begun, hooked_report):
        guarded.perform_all(begun, hooked_report)


async def aperform_batch(
    hooks: EventHooks, guarded: Batched, attempts: Sequence[Attempt], report: Report
) -> None:
    """Run an `async def` handler in this task; raises only when the task is cancelled."""
    with _between_hooks(hooks, attempts, report) as (begun, hooked_report):
        await guarded.aperform_all(begun, hooked_report)


@contextmanager
def _between_hooks(
    hooks: EventHooks, attempts: Sequence[Attempt], report: Report
) -> Iterator[tuple[Sequence[Attempt], Report]]:
    if not hooks.any:
        yield attempts, report
        return
    between = _BetweenHooks(hooks, report)
    begun = [attempt for attempt in attempts if between.begin(attempt)]
    try:
        yield begun, replace(report, tell=between.end)
    finally:
        between.close()


class _BetweenHooks:
    """The attempts of a batch of which each is between its own hooks."""

    def __init__(self, hooks: EventHooks, report: Report) -> None:
        self._hooks = hooks
        self._report = report
        self._begun: dict[Attempt, tuple[AbstractContextManager[Hooked], Hooked]] = {}

    def begin(self, attempt: Attempt) -> bool:
        """Fire the hooks before one; False if it has ended by that, as when a middleware skips it."""
        around = self._hooks.around(attempt.delivery)
        try:
            hooked = around.__enter__()
        except BaseException as error:  # noqa: BLE001 - one delivery's hook must not strand the others
            self._report.tell(attempt, fault(attempt, error))
            return False
        self._begun[attempt] = around, hooked
        if hooked.skipped is not None:
            self.end(attempt, hooked.skipped)
        return hooked.skipped is None

    def end(self, attempt: Attempt, outcome: Outcome) -> None:
        """Fire the hooks after one, and tell what it came to."""
        self._report.tell(attempt, self._fire(attempt, outcome))

    def close(self) -> None:
        """Fire the hooks after those that were given up."""
        for attempt in list(self._begun):
            self._fire(attempt, TOO_LATE)

    def _fire(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        around, hooked = self._begun.pop(attempt)
        hooked.outcome = outcome
        try:
            around.__exit__(None, None, None)
        except BaseException as error:  # noqa: BLE001 - as above
            return fault(attempt, error)
        return outcome
