"""The layer that drops what is too old, was tried too often or is not wanted, at first or after a failure."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ..messages.delivery import Outcome, OutcomeKind, Reason
from ..messages.timing import duration_ms

if TYPE_CHECKING:
    from .attempt import Attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Discard:
    """What an actor will not handle. Each limit that is given counts.

    Parameters:
        max_age: from this age on, as "5h"; counted from when the event was due.
        include_delay: count the age from when the event was published, its delay included.
        max_attempts: after so many attempts.
        when: what is true of an event that is not wanted; called with the event, or with what a
            plain dramatiq actor is called with. An exception of its own fails the attempt.
        then: `"drop"` ends the delivery as `discarded`, `"dead_letter"` as `dead`; both leave a record
            with the reason.

    Raises `ValueError` when it limits nothing, or a limit cannot be met.
    """

    max_age: str | float | timedelta | None = None
    include_delay: bool = False
    max_attempts: int | None = None
    when: Callable[..., object] | None = None
    then: Literal["drop", "dead_letter"] = "drop"
    max_age_ms: int | None = field(init=False, repr=False, default=None)
    """`max_age` as it was read."""

    def __post_init__(self) -> None:
        if self.max_age is None and self.max_attempts is None and self.when is None:
            raise ValueError("a Discard needs max_age=, max_attempts= or when=, or it would discard nothing")
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ValueError("max_attempts counts all starts, so it is at least 1")
        if self.then not in ("drop", "dead_letter"):
            raise ValueError(f'then must be "drop" or "dead_letter", but is {self.then!r}')
        if self.max_age is not None:
            object.__setattr__(self, "max_age_ms", duration_ms(self.max_age, name="max_age"))

    def with_max_age(self, ms: int) -> "Discard":
        """The same with another age, if it discards by age."""
        return self if self.max_age is None else replace(self, max_age=ms / 1000)

    def limits(self, *, attempts: int, age_ms: int) -> Reason | None:
        """The reason that so many attempts made, or the age, give to discard; None if neither does."""
        if self.max_age_ms is not None and age_ms >= self.max_age_ms:
            return Reason.MAX_AGE
        if self.max_attempts is not None and attempts >= self.max_attempts:
            return Reason.MAX_ATTEMPTS
        return None


def discard(attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
    """The layer."""
    made = attempt.delivery.attempt - 1
    for rule in attempt.policy.discard:
        reason = rule.limits(attempts=made, age_ms=attempt.age_ms(include_delay=rule.include_delay))
        if reason is None and rule.when is not None and _asked(rule.when, attempt):
            reason = Reason.BODY
        if reason is not None:
            return _discarded(rule, reason)
    outcome = yield
    return after_failure(attempt.policy.discard, attempt, outcome)


def after_failure(rules: Sequence[Discard], attempt: "Attempt", outcome: Outcome) -> Outcome:
    """The outcome of a failed attempt: what could only be discarded when it is due again is discarded now."""
    if outcome.kind is not OutcomeKind.RETRIED:
        return outcome
    for rule in rules:
        age_ms = attempt.age_ms(include_delay=rule.include_delay) + outcome.delay_ms
        # What was spared is not charged, so it does not count here either.
        charged = attempt.delivery.history.attempts + attempt.started
        reason = rule.limits(attempts=charged, age_ms=age_ms)
        if reason is not None:
            return msgspec.structs.replace(
                _discarded(rule, reason), detail=outcome.detail, error=outcome.error
            )
    return outcome


def _asked(when: Callable[..., object], attempt: "Attempt") -> object:
    if attempt.policy.contracts:
        return when(attempt.event)
    given: tuple[tuple[Any, ...], dict[str, Any]] = attempt.arguments
    return when(*given[0], **given[1])


def _discarded(rule: Discard, reason: Reason) -> Outcome:
    return Outcome(OutcomeKind.DISCARDED if rule.then == "drop" else OutcomeKind.DEAD, reason)
