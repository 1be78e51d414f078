"""A batch handler with the stack around each of its events: one call, and an outcome for each event.

Each event has layers of its own, so what is discarded, a duplicate or unreadable drops out by itself. What
remains is handed to the handler at once. What it raises becomes an outcome only of those to blame.
"""

import asyncio
from collections.abc import Sequence

from ..messages.delivery import RELEASED, Outcome
from ..observability.current import current
from .attempt import Attempt
from .batch_run import BatchRun, Report, Together
from .guarded import Guarded, give_up
from .timeout import TOO_LATE, acall, call
from .trace import end_own, end_span, traced_batch


class Batched(Guarded):
    """A batch handler with the stack around it: runs many attempts and reports what each came to."""

    def perform_all(self, attempts: Sequence[Attempt], report: Report) -> None:
        """Run a `def` handler; never raises."""
        run = BatchRun(self._enter, attempts, report)
        try:
            together = run.step(None)
            while together is not None:
                outcome = self._call(together)
                if together.given_up:
                    report.late(together)
                    return
                together = run.step(outcome)
            run.close()
        except BaseException as error:  # noqa: BLE001 - whatever it is, no attempt may be left without an outcome
            run.close(error)

    async def aperform_all(self, attempts: Sequence[Attempt], report: Report) -> None:
        """Run an `async def` handler; when its task is cancelled, what has no outcome yet is `released`."""
        run = BatchRun(self._enter, attempts, report)
        together: Together | None = None
        try:
            together = await self._step(run, None)
            while together is not None:
                outcome = await self._acall(together)
                if together.given_up:
                    break
                together = await self._step(run, outcome)
            if together is None:
                run.close()
        except (asyncio.CancelledError, GeneratorExit):
            if together is None or not together.given_up:
                run.close()
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            run.close(error)
        finally:
            if together is not None and together.given_up:
                report.late(together)

    def _call(self, together: Together) -> Outcome:
        before = current.set(together)
        try:
            if self.spans is None:
                return call(self._watch, self._invoke, together)
            with traced_batch(self.spans, together):
                outcome = call(self._watch, self._invoke, together)
                end_own(together, outcome)
                return outcome
        finally:
            current.reset(before)

    async def _acall(self, together: Together) -> Outcome:
        current.set(together)  # of this task alone
        if self.spans is None:
            return await acall(self._watch, self._invoke, together)
        with traced_batch(self.spans, together):
            outcome = await acall(self._watch, self._invoke, together)
            end_own(together, outcome)
            return outcome

    def perform(self, attempt: Attempt) -> Outcome:
        """Run a `def` handler for a batch of one."""
        outcomes: list[Outcome] = []
        self.perform_all([attempt], Report(lambda _, outcome: outcomes.append(outcome)))
        return outcomes[0] if outcomes else TOO_LATE

    async def aperform(self, attempt: Attempt) -> Outcome:
        """Run an `async def` handler for a batch of one."""
        outcomes: list[Outcome] = []
        await self.aperform_all([attempt], Report(lambda _, outcome: outcomes.append(outcome)))
        return outcomes[0] if outcomes else TOO_LATE

    async def _step(self, run: BatchRun, outcome: Outcome | None) -> Together | None:
        if not self._waits:
            return run.step(outcome)
        step = asyncio.ensure_future(asyncio.to_thread(run.step, outcome))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            # The layers are at it on another thread: what they hold is let go when they are through.
            await asyncio.wait([step])
            raise


def given_up(attempt: Attempt) -> list[tuple[Attempt, Outcome]]:
    """What those come to whose handler will not end, and those that wait behind it; see `give_up`."""
    if not isinstance(attempt, Together):
        return [(attempt, give_up(attempt))]
    outcomes = attempt.run.give_up(attempt)
    end_span(attempt, outcomes[0][1] if outcomes else RELEASED)
    return outcomes
