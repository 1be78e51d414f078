"""Whether and when a failed attempt is followed by another is decided by a policy, and by nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from callboard import Retry, RetryLater
from callboard.messages.delivery import SUCCEEDED, ErrorRecord, History, Outcome, OutcomeKind, Reason
from callboard.messages.errors import InvalidDuration
from callboard.middleware.retry import DEFAULT_RETRY, retry
from tests.middleware.attempts import NOW, attempt, run

MINUTE = 60_000
DAY = 86_400_000


def decide(
    policy: Retry,
    attempt: int = 1,
    *,
    age_ms: int = 0,
    error: BaseException | None = None,
    chance: float = 0.0,
    asked_ms: int | None = None,
) -> int | Reason:
    return policy.decide(
        attempt=attempt,
        age_ms=age_ms,
        error=ValueError("no") if error is None else error,
        chance=lambda: chance,
        asked_ms=asked_ms,
    )


def waits(policy: Retry, count: int, chance: float = 0.0) -> list[int | Reason]:
    return [decide(policy, number, chance=chance) for number in range(1, count + 1)]


# The waits.


def test_exponential_waits_grow_by_the_factor_up_to_the_cap() -> None:
    policy = Retry.exponential(first="1s", factor=3, cap="30s", jitter=0)
    assert waits(policy, 6) == [1000, 3000, 9000, 27_000, 30_000, 30_000]


def test_every_waits_the_same_whatever_the_chance() -> None:
    policy = Retry.every("6m")
    assert waits(policy, 3, chance=0.99) == [6 * MINUTE] * 3
    assert decide(policy, 100_000) == 6 * MINUTE


def test_jitter_takes_off_at_most_its_part() -> None:
    policy = Retry.exponential(first="10s", factor=2, jitter=0.25)
    assert decide(policy, chance=0.0) == 10_000
    assert decide(policy, chance=0.5) == 8750
    assert decide(policy, chance=1.0) == 7500


def test_the_default_goes_from_a_second_to_six_minutes_for_14_days() -> None:
    assert waits(DEFAULT_RETRY, 3) == [1000, 2000, 4000]
    assert decide(DEFAULT_RETRY, 1000) == 6 * MINUTE
    assert decide(DEFAULT_RETRY, 1000, chance=1.0) == 3 * MINUTE
    assert decide(DEFAULT_RETRY, 1000, age_ms=14 * DAY - 1) == 6 * MINUTE
    assert decide(DEFAULT_RETRY, 1000, age_ms=14 * DAY) is Reason.MAX_AGE


# The limits.


@pytest.mark.parametrize(
    ("attempt", "expected"), [(1, 1000), (2, 1000), (3, Reason.MAX_ATTEMPTS), (9, Reason.MAX_ATTEMPTS)]
)
def test_max_attempts_counts_all_starts(attempt: int, expected: int | Reason) -> None:
    assert decide(Retry.every("1s", max_attempts=3), attempt) == expected


def test_never_tries_once() -> None:
    assert decide(Retry.never()) is Reason.MAX_ATTEMPTS


def test_giving_up_by_age_is_at_the_age_and_not_before() -> None:
    policy = Retry.every("1s", give_up_after="1m")
    assert decide(policy, age_ms=MINUTE - 1) == 1000
    assert decide(policy, age_ms=MINUTE) is Reason.MAX_AGE


def test_an_age_of_zero_to_give_up_after_is_honoured() -> None:
    assert decide(Retry.every("1s", give_up_after=0)) is Reason.MAX_AGE
    assert decide(Retry.every("1s", give_up_after=None), age_ms=10_000 * DAY) == 1000


def test_attempts_are_named_before_age_when_both_are_used_up() -> None:
    assert decide(Retry.every("1s", max_attempts=1, give_up_after=0)) is Reason.MAX_ATTEMPTS


# Which exceptions.


class Refused(ConnectionError):
    """An exception that derives from another."""


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        ({"on": ConnectionError}, ConnectionError(), 1000),
        ({"on": ConnectionError}, Refused(), 1000),
        ({"on": ConnectionError}, ValueError(), Reason.REJECTED),
        ({"on": (ConnectionError, ValueError)}, ValueError(), 1000),
        ({"never_on": ValueError}, ValueError(), Reason.REJECTED),
        ({"never_on": ValueError}, KeyError(), 1000),
        ({"on": ConnectionError, "never_on": Refused}, Refused(), Reason.REJECTED),
        ({"on": ConnectionError, "never_on": Refused}, ConnectionError(), 1000),
        ({}, KeyboardInterrupt(), 1000),
        ({"on": Exception}, KeyboardInterrupt(), Reason.REJECTED),
        ({"on": ()}, ValueError(), Reason.REJECTED),
    ],
)
def test_only_the_exceptions_named_are_retried(
    options: dict[str, Any], error: BaseException, expected: int | Reason
) -> None:
    assert decide(Retry.every("1s", **options), error=error) == expected


def test_a_wait_the_handler_asks_for_goes_before_the_policys_and_its_exceptions() -> None:
    policy = Retry.every("1s", on=(), max_attempts=3, give_up_after="1m")
    assert decide(policy, asked_ms=77) == 77
    assert decide(policy, 3, asked_ms=77) is Reason.MAX_ATTEMPTS
    assert decide(policy, age_ms=MINUTE, asked_ms=77) is Reason.MAX_AGE


# What a policy can be made of.


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Retry.exponential(factor=0.5), ValueError, "factor"),
        (lambda: Retry.exponential(jitter=-0.1), ValueError, "jitter"),
        (lambda: Retry.exponential(jitter=1.1), ValueError, "jitter must be from 0 to 1, but is 1.1"),
        (lambda: Retry.exponential(max_attempts=0), ValueError, "at least 1"),
        (lambda: Retry.every("soon"), InvalidDuration, "soon"),
        (lambda: Retry.every(-1), InvalidDuration, "negative"),
        (lambda: Retry.every("1s", give_up_after="for ever"), InvalidDuration, "for ever"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    make: Callable[[], Retry], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_factor_that_is_no_number_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="factor"):
        Retry.exponential(factor=factor)


def test_a_large_factor_comes_to_the_cap() -> None:
    assert decide(Retry.exponential(factor=1e5, jitter=0), 1000) == 6 * MINUTE


policies = st.builds(
    Retry.exponential,
    first=st.timedeltas(timedelta(0), timedelta(days=2)),
    factor=st.floats(1, 1000),
    cap=st.timedeltas(timedelta(0), timedelta(days=30)),
    jitter=st.floats(0, 1),
    max_attempts=st.none() | st.integers(1, 100),
    give_up_after=st.none() | st.timedeltas(timedelta(0), timedelta(days=60)),
)
attempts = st.integers(1, 100_000)
ages = st.integers(0, 100 * DAY)
chances = st.floats(0, 1)


@given(policies, attempts, ages, chances)
def test_a_wait_is_never_zero_never_over_the_cap_and_never_past_a_limit(
    policy: Retry, number: int, age_ms: int, chance: float
) -> None:
    decision = decide(policy, number, age_ms=age_ms, chance=chance)
    spent = policy.max_attempts is not None and number >= policy.max_attempts
    old = policy.give_up_after_ms is not None and age_ms >= policy.give_up_after_ms
    if spent or old:
        assert decision is (Reason.MAX_ATTEMPTS if spent else Reason.MAX_AGE)
    else:
        assert isinstance(decision, int)
        assert 1 <= decision <= max(1, policy.cap_ms)


@given(policies, st.integers(1, 200), chances)
def test_waits_never_become_shorter_for_the_same_chance(policy: Retry, number: int, chance: float) -> None:
    earlier, later = decide(policy, number, chance=chance), decide(policy, number + 1, chance=chance)
    assume(isinstance(later, int))
    assert isinstance(earlier, int)
    assert isinstance(later, int)
    assert earlier <= later


@given(policies, attempts, ages)
def test_more_chance_never_makes_a_wait_longer(policy: Retry, number: int, age_ms: int) -> None:
    least, most = (decide(policy, number, age_ms=age_ms, chance=chance) for chance in (1.0, 0.0))
    assert type(least) is type(most)
    if isinstance(least, int) and isinstance(most, int):
        assert least <= most


# The layer.

FAILED = Outcome(OutcomeKind.RETRIED, error=ErrorRecord("ValueError", "no", NOW))


def test_the_layer_leaves_other_outcomes_as_they_are() -> None:
    for outcome in (SUCCEEDED, Outcome(OutcomeKind.DEAD, Reason.REJECTED), Outcome(OutcomeKind.DISCARDED)):
        assert run(retry, attempt(), outcome) == (True, outcome)


def test_the_layer_gives_a_failed_attempt_its_wait() -> None:
    made = attempt(retry=Retry.every("5s"))
    made.exception = ValueError("no")
    assert run(retry, made, FAILED) == (True, Outcome(OutcomeKind.RETRIED, error=FAILED.error, delay_ms=5000))


def test_the_layer_counts_the_attempts_of_before() -> None:
    made = attempt(retry=Retry.every("5s", max_attempts=3), history=History(attempts=2))
    made.exception = ValueError("no")
    assert run(retry, made, FAILED)[1] == Outcome(OutcomeKind.DEAD, Reason.MAX_ATTEMPTS, error=FAILED.error)


def test_the_layer_does_not_count_the_delay_as_age() -> None:
    policy = Retry.every("5s", give_up_after="10s")
    late = attempt(retry=policy, accepted_at=NOW - DAY, due_at=NOW - 9999)
    late.exception = ValueError("no")
    assert run(retry, late, FAILED)[1].kind is OutcomeKind.RETRIED
    old = attempt(retry=policy, accepted_at=NOW - DAY, due_at=NOW - 10_000)
    old.exception = ValueError("no")
    assert run(retry, old, FAILED)[1].reason is Reason.MAX_AGE


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2 minutes", 2 * MINUTE),
        (1500, 1500),
        (timedelta(seconds=2), 2000),
        (datetime.fromtimestamp((NOW + 4321) / 1000, UTC), 4321),
        (NOW + 4321, 4321),
        ("10m", 10 * MINUTE),
        ("1.5 h", 90 * MINUTE),
        ("250ms", 250),
    ],
)
def test_retry_later_takes_every_form_of_after_by_the_servers_clock(after: Any, expected: int) -> None:
    made = attempt(retry=Retry.every("5s"))
    made.exception = RetryLater(after, "busy")
    outcome = run(retry, made, Outcome(OutcomeKind.RETRIED, detail="busy"))[1]
    assert (outcome.kind, outcome.delay_ms, outcome.detail) == (OutcomeKind.RETRIED, expected, "busy")


@pytest.mark.parametrize("after", ["soon", 0, NOW - 1, "5", "0s", "2000 d", "", "-1m"])
def test_retry_later_that_cannot_be_read_falls_back_to_the_policy(after: Any) -> None:
    made = attempt(retry=Retry.every("5s", max_attempts=2))
    made.exception = RetryLater(after)
    assert run(retry, made, FAILED)[1] == Outcome(OutcomeKind.RETRIED, error=FAILED.error, delay_ms=5000)
