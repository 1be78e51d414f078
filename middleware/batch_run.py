"""One batch on its way through layers and handler: what to call next, and what each event comes to.

The calls themselves are left to whoever can make them, on a thread or on an event loop.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import dramatiq
import structlog

from ..messages.delivery import RELEASED, Outcome, OutcomeKind
from .attempt import Attempt
from .guarded import fault, leave
from .halving import Halving
from .layer import Entered
from .signals import Signal, StuckTogether
from .timeout import failure, timed_out

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.stack")

Enter = Callable[[Attempt, list[Entered]], Outcome | None]
"""Runs the layers around an attempt up to the handler; an outcome if one of them answered by itself."""


@dataclass(frozen=True, slots=True)
class Report:
    """Whom a batch reports to."""

    tell: Callable[[Attempt, Outcome], None]
    """Is told what each attempt came to, once, as soon as that is known."""
    go_on: Callable[[], bool] = lambda: True
    """Whether the handler may be called once more; if not, what is left is released."""
    late: Callable[[Attempt], None] = lambda _: None
    """Is told of a call that has ended after it was given up: nothing is told of its attempts."""


class Together(Attempt):
    """One call of a batch handler: the attempts whose events it is given, under one deadline."""

    __slots__ = ("_members", "_secrets", "marks", "run")

    def __init__(self, members: Sequence[Attempt], run: "BatchRun") -> None:
        super().__init__(members[0].delivery, members[0].policy)
        self._members = tuple(members)
        self.timeout = min([each.timeout for each in members if each.timeout is not None], default=None)
        self._secrets: tuple[str, ...] | None = None
        self.run = run
        self.marks: dict[Attempt, BaseException] = {}
        """What the handler said of single events."""

    @property
    def members(self) -> tuple[Attempt, ...]:
        """The attempts that the call is for."""
        return self._members

    def log_fields(self) -> dict[str, object]:
        """What every line carries that is written in its handler, which may be about any of the events."""
        return {"actor": self.policy.actor, "batch": len(self._members)}

    def secrets(self) -> Sequence[str]:
        """The sensitive values of all its events: what is said of one may show those of another."""
        if self._secrets is None:
            self._secrets = tuple(chain.from_iterable(member.secrets() for member in self._members))
        return self._secrets

    def said_of(self, attempt: Attempt, error: BaseException) -> Outcome:
        """What it means for an attempt that the handler said this of its event."""
        self.exception = None
        outcome = failure(self, error)
        attempt.exception = self.exception
        return outcome


class BatchRun:
    """The attempts of one batch, until each has an outcome."""

    def __init__(self, enter: Enter, attempts: Sequence[Attempt], report: Report) -> None:
        self._enter = enter
        self._report = report
        self._open = dict.fromkeys(attempts)
        """Those that have no outcome yet, in order."""
        self._calls = self._call()

    def step(self, outcome: Outcome | None) -> Together | None:
        """The next call, after the outcome of the one before; None for none."""
        try:
            return next(self._calls) if outcome is None else self._calls.send(outcome)
        except StopIteration:
            return None

    def close(self, error: BaseException | None = None) -> None:
        """End it: what has no outcome yet is released, or has failed with the error."""
        self._calls.close()
        for attempt in list(self._open):
            self._conclude(attempt, RELEASED if error is None else fault(attempt, error))

    def give_up(self, together: Together) -> list[tuple[Attempt, Outcome]]:
        """What all come to that have no outcome yet, now that a call will not end; asked from another thread
        than the one that is stuck, which leaves the layers alone from then on.

        One that was called alone is to blame. Of many it is not known which: each is run alone the next time.
        """
        outcomes = self._outcomes_of_stuck(together)
        return [
            (attempt, self._left(attempt, outcomes.get(attempt, RELEASED))) for attempt in list(self._open)
        ]

    def _call(self) -> Generator[Together, Outcome, None]:
        halving = Halving([attempt for attempt in list(self._open) if self._is_let_through(attempt)])
        failed: tuple[BaseException, Outcome] | None = None
        while self._report.go_on() and (group := halving.next()) is not None:
            if not (members := self._still_held(group)):
                continue
            together = self._begun(members)
            outcome = yield together
            if outcome.kind is OutcomeKind.RETRIED and together.exception is not None:
                failed = together.exception, outcome
            for attempt, its_outcome in self._judged(halving, together, outcome):
                self._conclude(attempt, its_outcome)
        if failed is not None and self._report.go_on():
            self._spare(halving.rest(), *failed)

    def _is_let_through(self, attempt: Attempt) -> bool:
        answer = self._enter(attempt, attempt.entered)
        if answer is not None:
            self._conclude(attempt, answer)
        return answer is None

    def _still_held(self, group: Sequence[Attempt]) -> list[Attempt]:
        """Those of a group that no other worker may hold by now; the others are not started again."""
        for attempt in group:
            if attempt.held.lost:
                self._conclude(attempt, RELEASED)
        return [attempt for attempt in group if attempt in self._open]

    def _begun(self, members: Sequence[Attempt]) -> Together:
        """A call for attempts of which nothing is kept from an earlier one."""
        for attempt in members:
            attempt.started, attempt.published, attempt.exception = True, None, None
        return Together(members, self)

    def _judged(
        self, halving: Halving[Attempt], together: Together, outcome: Outcome
    ) -> Iterable[tuple[Attempt, Outcome]]:
        """The outcomes of those of a call that have one now."""
        error = together.exception
        for attempt, said in together.marks.items():
            yield attempt, together.said_of(attempt, said)
        rest = [attempt for attempt in together.members if attempt not in together.marks]
        if outcome.kind is OutcomeKind.SUCCEEDED:
            halving.succeeded()
        elif rest and error is not None and not _is_said(error) and not halving.failed(rest, error):
            _tell(logger.warning, "a batch failed: it is halved", rest, error)
            return
        for attempt in rest:
            attempt.exception = error
            yield attempt, outcome

    def _spare(self, left: Sequence[Attempt], error: BaseException, outcome: Outcome) -> None:
        """Let those wait that failed only in company, uncharged: it may be no fault of theirs."""
        if left:
            _tell(logger.error, "a batch is no longer halved: the rest is tried again later", left, error)
        for attempt in left:
            attempt.started, attempt.exception = False, error
            self._conclude(attempt, outcome)

    def _outcomes_of_stuck(self, together: Together) -> dict[Attempt, Outcome]:
        # A copy, for the handler may still be saying something.
        marks = dict(together.marks)
        outcomes = {attempt: together.said_of(attempt, said) for attempt, said in marks.items()}
        rest = [attempt for attempt in together.members if attempt not in outcomes]
        error = timed_out(together) if len(rest) == 1 else StuckTogether(str(timed_out(together)))
        for attempt in rest:
            attempt.started = len(rest) == 1
            outcomes[attempt] = failure(attempt, error)
        return outcomes

    def _conclude(self, attempt: Attempt, outcome: Outcome) -> None:
        self._report.tell(attempt, self._left(attempt, outcome))

    def _left(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        del self._open[attempt]
        return leave(attempt, attempt.entered, outcome)


def _is_said(error: BaseException) -> bool:
    """Whether the handler says with it what shall become of all its events."""
    return isinstance(error, (Signal, dramatiq.Retry))


def _tell(log: Callable[..., object], what: str, group: Sequence[Attempt], error: BaseException) -> None:
    log(what, actor=group[0].policy.actor, size=len(group), error=type(error).__name__)
