"""What is too old, was tried too often or is not wanted is discarded, with its reason."""

from datetime import timedelta

import msgspec
import pytest

from callboard import Discard
from callboard.messages.codec import decode_envelope
from callboard.messages.delivery import SUCCEEDED, ErrorRecord, History, Outcome, OutcomeKind, Reason
from callboard.messages.errors import InvalidDuration
from callboard.middleware.attempt import Attempt
from callboard.middleware.discard import discard
from tests.middleware.attempts import NOW, OrderPlaced, attempt, run

HOUR = 3_600_000
ERROR = ErrorRecord("ValueError", "no", NOW)


def guarded_by(*rules: Discard, age_ms: int = 0, delay_ms: int = 0, attempts: int = 0) -> Attempt:
    """An attempt under rules: due `age_ms` ago, published `delay_ms` before that, after so many attempts."""
    due = NOW - age_ms
    made = attempt(due_at=due, accepted_at=due - delay_ms, history=History(attempts=attempts))
    made.policy = msgspec.structs.replace(made.policy, discard=rules)
    made.envelope = decode_envelope(made.delivery.body)
    made.event = OrderPlaced("A")
    return made


def answers(made: Attempt, outcome: Outcome = SUCCEEDED) -> tuple[bool, OutcomeKind, Reason | None]:
    started, answer = run(discard, made, outcome)
    return started, answer.kind, answer.reason


def test_what_is_younger_runs_and_what_is_older_does_not() -> None:
    rule = Discard(max_age="5h")
    assert answers(guarded_by(rule, age_ms=5 * HOUR - 1)) == (True, OutcomeKind.SUCCEEDED, None)
    assert answers(guarded_by(rule, age_ms=5 * HOUR)) == (False, OutcomeKind.DISCARDED, Reason.MAX_AGE)


def test_the_delay_that_was_asked_for_counts_only_where_it_is_asked_to() -> None:
    late = {"age_ms": HOUR, "delay_ms": 24 * HOUR}
    assert answers(guarded_by(Discard(max_age="5h"), **late))[0]
    including = Discard(max_age="5h", include_delay=True)
    assert answers(guarded_by(including, **late)) == (False, OutcomeKind.DISCARDED, Reason.MAX_AGE)


def test_what_was_tried_often_enough_is_not_started_again() -> None:
    rule = Discard(max_attempts=3)
    assert answers(guarded_by(rule, attempts=2))[0]
    assert answers(guarded_by(rule, attempts=3)) == (False, OutcomeKind.DISCARDED, Reason.MAX_ATTEMPTS)


def test_what_the_predicate_is_true_of_is_not_handled() -> None:
    unwanted = Discard(when=lambda event: event.order_id == "A")
    assert answers(guarded_by(unwanted)) == (False, OutcomeKind.DISCARDED, Reason.BODY)
    assert answers(guarded_by(Discard(when=lambda event: event.order_id == "B")))[0]


def test_a_rule_may_dead_letter_instead_of_dropping() -> None:
    rule = Discard(max_age=0, then="dead_letter")
    assert answers(guarded_by(rule)) == (False, OutcomeKind.DEAD, Reason.MAX_AGE)


def test_the_first_rule_that_applies_has_the_say() -> None:
    rules = (Discard(max_age="1h", then="dead_letter"), Discard(max_age="1m"))
    assert answers(guarded_by(*rules, age_ms=HOUR))[1] is OutcomeKind.DEAD
    assert answers(guarded_by(*rules, age_ms=HOUR - 1))[1] is OutcomeKind.DISCARDED


def test_a_failed_attempt_that_will_be_too_old_when_it_is_due_again_is_discarded_now() -> None:
    retried = Outcome(OutcomeKind.RETRIED, None, "words", ERROR, delay_ms=HOUR)
    rule = Discard(max_age="5h")
    assert answers(guarded_by(rule, age_ms=4 * HOUR - 1), retried)[1] is OutcomeKind.RETRIED
    _, answer = run(discard, guarded_by(rule, age_ms=4 * HOUR), retried)
    assert answer == Outcome(OutcomeKind.DISCARDED, Reason.MAX_AGE, "words", ERROR)


def test_the_last_attempt_allowed_is_discarded_as_soon_as_it_fails() -> None:
    retried = Outcome(OutcomeKind.RETRIED, error=ERROR, delay_ms=1)
    rule = Discard(max_attempts=3)
    assert answers(guarded_by(rule, attempts=1), retried)[1] is OutcomeKind.RETRIED
    assert answers(guarded_by(rule, attempts=2), retried)[1:] == (OutcomeKind.DISCARDED, Reason.MAX_ATTEMPTS)


@pytest.mark.parametrize("kind", [OutcomeKind.DEAD, OutcomeKind.SUCCEEDED, OutcomeKind.RELEASED])
def test_an_outcome_that_is_no_retry_is_left_as_it_is(kind: OutcomeKind) -> None:
    outcome = Outcome(kind)
    assert run(discard, guarded_by(Discard(max_attempts=1)), outcome) == (True, outcome)


@pytest.mark.parametrize("age", ["5h", 18_000, timedelta(hours=5)])
def test_an_age_is_given_as_any_length_of_time(age: str | float | timedelta) -> None:
    assert Discard(max_age=age).max_age_ms == 5 * HOUR


def test_a_rule_that_discards_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs max_age=, max_attempts= or when="):
        Discard()
    with pytest.raises(ValueError, match="at least 1"):
        Discard(max_attempts=0)
    with pytest.raises(ValueError, match='"drop" or "dead_letter", but is \'keep\''):
        Discard(max_age=1, then="keep")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(InvalidDuration, match="max_age"):
        Discard(max_age="soon")
