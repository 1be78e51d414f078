"""A hunt for suspects costs a process only so much, and finds them in the end."""

import pytest

from callboard.actors.hunt import FIRST_PATIENCE, LONGEST_ALONE, LONGEST_PATIENCE, TURN_SECONDS, Hunt, Step
from callboard.messages.delivery import Delivery
from tests.actors.test_settler import delivery

LONG = frozenset({delivery("long")})
"""What a process holds whose handler takes long."""


def begun(now: float = 100.0) -> Hunt:
    hunt = Hunt()
    hunt.begin(now)
    return hunt


def fail(hunt: Hunt, now: float) -> float:
    """Begin a hunt and let it fail; when that was."""
    hunt.begin(now)
    now += hunt.patience + 0.1
    assert hunt.look(now, LONG) is Step.END
    hunt.end(now)
    return now


def test_a_process_that_holds_nothing_fetches_a_suspect_at_once() -> None:
    assert begun().look(100.0, set()) is Step.FETCH


def test_a_process_that_holds_something_waits_for_it_and_then_fetches() -> None:
    hunt = begun()
    assert hunt.look(100.0 + FIRST_PATIENCE, LONG) is Step.WAIT
    assert hunt.look(100.1 + FIRST_PATIENCE, set()) is Step.FETCH


def test_a_hunt_ends_when_patience_does() -> None:
    assert begun().look(100.1 + FIRST_PATIENCE, LONG) is Step.END


def test_after_a_hunt_for_nothing_others_have_three_times_as_long() -> None:
    hunt = Hunt()
    ended = fail(hunt, 100.0)
    took = ended - 100.0
    assert not hunt.may_begin(ended + 2.9 * took)
    assert hunt.may_begin(ended + 3.1 * took)


def test_patience_doubles_up_to_the_longest() -> None:
    hunt, now = Hunt(), 100.0
    seen = [hunt.patience]
    while hunt.patience < LONGEST_PATIENCE:
        now = fail(hunt, now) + 1_000
        seen.append(hunt.patience)
    assert seen == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


def patient() -> Hunt:
    hunt = Hunt()
    while hunt.patience < LONGEST_PATIENCE:
        fail(hunt, 0.0)
    hunt.begin(1_000.0)
    return hunt


def test_what_outlasts_the_longest_patience_is_let_be_and_a_suspect_runs_beside_it() -> None:
    hunt, suspect = patient(), delivery("suspect")
    assert hunt.look(1_000.0 + LONGEST_PATIENCE, LONG) is Step.WAIT
    assert hunt.look(1_000.1 + LONGEST_PATIENCE, LONG) is Step.WAIT
    assert hunt.look(1_000.2 + LONGEST_PATIENCE, LONG) is Step.FETCH
    beside = hunt.is_beside_others
    assert beside
    assert hunt.look(1_000.3 + LONGEST_PATIENCE, LONG | {suspect}) is Step.WAIT
    assert hunt.look(1_000.4 + LONGEST_PATIENCE, LONG) is Step.FETCH
    hunt.end(1_000.5 + LONGEST_PATIENCE)
    assert not hunt.is_beside_others
    assert hunt.patience == LONGEST_PATIENCE


def test_what_was_let_be_and_ends_leaves_the_suspect_alone_with_the_rest() -> None:
    hunt = patient()
    assert hunt.look(1_000.1 + LONGEST_PATIENCE, LONG) is Step.WAIT
    assert hunt.look(1_000.2 + LONGEST_PATIENCE, set()) is Step.FETCH


def test_suspects_have_a_turn_and_others_as_long_after_it() -> None:
    hunt = begun()
    assert hunt.look(100.5, set()) is Step.FETCH
    assert hunt.look(100.5 + TURN_SECONDS, set()) is Step.FETCH
    assert hunt.look(100.6 + TURN_SECONDS, set()) is Step.END
    hunt.end(102.0)
    assert hunt.patience == FIRST_PATIENCE
    assert not hunt.may_begin(103.9)
    assert hunt.may_begin(104.0)


@pytest.mark.parametrize("running", [frozenset({delivery("suspect")})])
def test_a_suspect_that_runs_is_waited_for_but_not_for_ever(running: frozenset[Delivery]) -> None:
    hunt = begun()
    assert hunt.look(100.0, set()) is Step.FETCH
    assert hunt.look(100.0 + LONGEST_ALONE, running) is Step.WAIT
    assert hunt.look(100.1 + LONGEST_ALONE, running) is Step.END


def test_a_success_makes_patience_short_again() -> None:
    hunt = Hunt()
    fail(hunt, 0.0)
    hunt.begin(100.0)
    assert hunt.look(100.0, set()) is Step.FETCH
    hunt.end(100.1)
    assert hunt.patience == FIRST_PATIENCE
