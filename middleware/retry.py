"""Whether and when a failed attempt is followed by another: a pure decision, and its layer."""

import math
import random
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import dramatiq
import msgspec
import structlog

from ..messages.delivery import Outcome, OutcomeKind, Reason
from ..messages.errors import InvalidAfter, InvalidDuration
from ..messages.timing import MAX_AFTER_MS, duration_ms, read_after
from .partial import PartialFailure
from .signals import RetryLater

if TYPE_CHECKING:
    from .attempt import Attempt

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.retry")

Length = str | float | timedelta
"""A length of time: "10s", "5 minutes", seconds, or a timedelta."""

Exceptions = type[BaseException] | tuple[type[BaseException], ...]


class Retry(msgspec.Struct, frozen=True):
    """When to try again. Make one with `exponential`, `every` or `never`."""

    first_ms: int
    """The wait after the first failure."""
    factor: float
    """Each further wait is this many times the one before."""
    cap_ms: int
    """No wait is longer."""
    jitter: float
    """The part of a wait that is drawn by chance, from 0 to 1, so that failures do not come back together."""
    max_attempts: int | None
    """Starts in all: 3 means two retries."""
    give_up_after_ms: int | None
    """The age of the event, without the delay it was published with, from which it is not tried again."""
    on: Exceptions
    never_on: Exceptions

    @classmethod
    def exponential(
        cls,
        *,
        first: Length = "1s",
        factor: float = 2.0,
        cap: Length = "6m",
        jitter: float = 0.5,
        max_attempts: int | None = None,
        give_up_after: Length | None = "14d",
        on: Exceptions = BaseException,
        never_on: Exceptions = (),
    ) -> Self:
        """Wait longer after each failure, up to `cap`."""
        if not 1 <= factor < math.inf:
            raise ValueError(f"factor must be a number from 1, but is {factor}")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, but is {jitter}")
        for name, given in (("on", on), ("never_on", never_on)):
            if not _are_exceptions(given):
                raise TypeError(f"{name} takes an exception type or a tuple of them, but is {given!r}")
        if max_attempts is not None and max_attempts < 1:
            raise ValueError("max_attempts counts all starts, so it is at least 1; Retry.never() tries once")
        return cls(
            duration_ms(first),
            factor,
            duration_ms(cap),
            jitter,
            max_attempts,
            None if give_up_after is None else duration_ms(give_up_after),
            on,
            never_on,
        )

    @classmethod
    def every(
        cls,
        wait: Length,
        *,
        max_attempts: int | None = None,
        give_up_after: Length | None = "14d",
        on: Exceptions = BaseException,
        never_on: Exceptions = (),
    ) -> Self:
        """Wait the same time after each failure."""
        return cls.exponential(
            first=wait,
            factor=1.0,
            cap=wait,
            jitter=0.0,
            max_attempts=max_attempts,
            give_up_after=give_up_after,
            on=on,
            never_on=never_on,
        )

    @classmethod
    def never(cls) -> Self:
        """Try once."""
        return cls.every(1, max_attempts=1, give_up_after=None)

    def decide(
        self,
        *,
        attempt: int,
        age_ms: int,
        error: BaseException,
        chance: Callable[[], float],
        asked_ms: int | None = None,
    ) -> int | Reason:
        """Milliseconds to wait after failed `attempt` (counted from 1), or the reason to give up.

        `age_ms` is the event's age without its delay; `chance` draws from 0 to 1; `asked_ms` is
        the wait a handler asked for.
        """
        if asked_ms is None and not self.tries_again(error):
            return Reason.REJECTED
        if self.max_attempts is not None and attempt >= self.max_attempts:
            return Reason.MAX_ATTEMPTS
        if self.give_up_after_ms is not None and age_ms >= self.give_up_after_ms:
            return Reason.MAX_AGE
        return self._wait_ms(attempt, chance) if asked_ms is None else asked_ms

    def tries_again(self, error: BaseException) -> bool:
        """Whether an attempt that failed with an error may be followed by another.

        Of a `PartialFailure` only `never_on` is asked: its items have been asked of by `tries_item_again`.
        """
        if isinstance(error, self.never_on):
            return False
        return True if isinstance(error, PartialFailure) else isinstance(error, self.on)

    def tries_item_again(self, error: BaseException) -> bool:
        """Whether an item that failed is tried again: its own error counts, and `PartialFailure`."""
        asked = isinstance(error, self.on) or issubclass(PartialFailure, self.on)
        never = isinstance(error, self.never_on) or issubclass(PartialFailure, self.never_on)
        return asked and not never

    def spare(
        self, *, attempt: int, age_ms: int, failing_ms: int, chance: Callable[[], float]
    ) -> int | Reason:
        """Milliseconds to wait after an attempt that is charged nothing, or the reason to give up.

        An uncharged attempt has the number of the one before it, so the wait grows with the time for which
        it has been failing (`failing_ms`): it is as long again, up to `cap`.
        """
        if self.give_up_after_ms is not None and age_ms >= self.give_up_after_ms:
            return Reason.MAX_AGE
        again = round(min(self.cap_ms, failing_ms) * (1 - self.jitter * chance()))
        return max(again, self._wait_ms(attempt, chance))

    def _wait_ms(self, attempt: int, chance: Callable[[], float]) -> int:
        try:
            wait = min(self.cap_ms, self.first_ms * self.factor ** (attempt - 1))
        except OverflowError:
            wait = self.cap_ms
        return max(1, round(wait * (1 - self.jitter * chance())))


def _are_exceptions(given: object) -> bool:
    types = given if isinstance(given, tuple) else (given,)
    return all(isinstance(each, type) and issubclass(each, BaseException) for each in types)


DEFAULT_RETRY = Retry.exponential()


def retry(attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
    """The layer: a failed attempt is retried as the actor's policy says, or dead with its reason."""
    return decided(attempt, (yield))


def decided(attempt: "Attempt", outcome: Outcome, policy: Retry | None = None) -> Outcome:
    """The outcome of a failed attempt by a policy, its actor's if None; any other outcome as it is."""
    policy = attempt.policy.retry if policy is None else policy
    if outcome.kind is not OutcomeKind.RETRIED or attempt.exception is None or policy is None:
        return outcome
    delivery = attempt.delivery
    now = delivery.clock.now()
    decision = (
        _spared(attempt, policy, now)
        if not attempt.started
        else policy.decide(
            attempt=delivery.attempt,
            age_ms=now - delivery.due_at,
            error=attempt.exception,
            chance=random.random,  # spreads load, guards nothing
            asked_ms=_asked_ms(attempt, attempt.exception, now),
        )
    )
    if isinstance(decision, Reason):
        return Outcome(OutcomeKind.DEAD, decision, outcome.detail, outcome.error)
    return Outcome(OutcomeKind.RETRIED, None, outcome.detail, outcome.error, decision)


def _spared(attempt: "Attempt", policy: Retry, now: int) -> int | Reason:
    """What becomes of an attempt that failed for no fault of its event's."""
    delivery = attempt.delivery
    first = delivery.history.first_error
    return policy.spare(
        attempt=delivery.attempt,
        age_ms=now - delivery.due_at,
        failing_ms=0 if first is None else now - first.at,
        chance=random.random,
    )


def _asked_ms(attempt: "Attempt", error: BaseException, now: int) -> int | None:
    if isinstance(error, dramatiq.Retry):
        return error.delay
    if not isinstance(error, RetryLater):
        return None
    try:
        after = read_after(error.after, now=datetime.fromtimestamp(now / 1000, UTC))
    except InvalidAfter as fault:
        asked = _short_words_ms(error.after)
        if asked is None:
            logger.warning(
                "RetryLater cannot be read: the policy decides",
                delivery=attempt.delivery.id,
                fault=str(fault),
            )
        return asked
    return after.delay_ms or max(1, after.due_at - now)


def _short_words_ms(after: object) -> int | None:
    """The wait in words that `Retry.every` takes and `after` does not, such as "10m"."""
    try:
        asked = duration_ms(after) if isinstance(after, str) and after.strip()[-1:].isalpha() else 0
    except InvalidDuration:
        return None
    return asked if 0 < asked <= MAX_AFTER_MS else None
