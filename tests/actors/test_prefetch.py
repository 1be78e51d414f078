"""A consumer holds more ahead the faster its deliveries are taken; what it holds goes by priority."""

from hypothesis import given
from hypothesis import strategies as st

from callboard.actors.buffer import Buffer, Waiting
from callboard.actors.mailbox.memory import SystemClock
from callboard.actors.prefetch import AHEAD_SECONDS, MOST, Prefetch
from callboard.messages.delivery import Delivery


def looked(rate: float, *, looks: int = 40, every: float = 0.01) -> Prefetch:
    """What a consumer knows after looking at a steady rate for a while (deliveries a second)."""
    prefetch = Prefetch(0.0)
    for look in range(1, looks + 1):
        prefetch.look(look * every, int(rate * look * every))
    return prefetch


def test_nothing_is_held_ahead_at_first() -> None:
    assert Prefetch(0.0).ahead == 0
    assert looked(0).ahead == 0


def test_what_is_held_ahead_lasts_for_about_the_time_it_should() -> None:
    assert abs(looked(10_000).ahead - 10_000 * AHEAD_SECONDS) <= 2


def test_long_handlers_get_no_buffer() -> None:
    assert looked(10).ahead <= 3
    assert looked(1, every=1.0).ahead == 0


def test_however_fast_they_go_there_is_a_most() -> None:
    assert looked(10_000_000).ahead == MOST


def test_it_grows_by_steps_so_that_one_quick_look_does_not_fill_a_buffer() -> None:
    prefetch = Prefetch(0.0)
    first = prefetch.look(0.01, 1000)
    assert 0 < first < 100
    assert first < prefetch.look(0.02, 2000) < 100 < prefetch.look(0.03, 3000)


def test_one_slow_look_halves_it_and_several_empty_it() -> None:
    prefetch = looked(100_000)
    full, now, taken = prefetch.ahead, 0.4, 40_000
    assert prefetch.look(now + 0.01, taken) == full // 2
    for look in range(2, 14):
        prefetch.look(now + look * 0.01, taken)
    assert prefetch.ahead == 0


def test_a_look_too_soon_after_another_changes_nothing() -> None:
    prefetch = looked(10_000)
    ahead = prefetch.ahead
    assert prefetch.look(0.4000001, 1_000_000) == ahead


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 10_000)), max_size=50))
def test_it_never_goes_below_nothing_or_above_the_most(steps: list[tuple[float, int]]) -> None:
    prefetch, now, taken = Prefetch(0.0), 0.0, 0
    for elapsed, more in steps:
        now, taken = now + elapsed, taken + more
        assert 0 <= prefetch.look(now, taken) <= MOST


def waiting(name: str) -> Waiting:
    return Waiting(Delivery(f"handler:{name}", "default", 1, b"", SystemClock()), None)


def test_lower_priorities_are_taken_first_and_equals_in_their_order() -> None:
    buffer = Buffer()
    for name, priority in [("a5", 5), ("a0", 0), ("b5", 5), ("am", -1), ("b0", 0)]:
        buffer.add(waiting(name), priority)
    assert len(buffer) == 5
    taken = [buffer.take() for _ in range(5)]
    assert [each.delivery.key for each in taken if isinstance(each, Waiting)] == [
        "am",
        "a0",
        "b0",
        "a5",
        "b5",
    ]
    assert buffer.take() is None
    assert len(buffer) == 0


def test_clearing_a_buffer_gives_all_that_was_left_in_order() -> None:
    buffer = Buffer()
    for name, priority in [("late", 9), ("first", 0), ("second", 0)]:
        buffer.add(waiting(name), priority)
    assert [delivery.key for delivery in buffer.clear()] == ["first", "second", "late"]
    assert len(buffer) == 0
    assert list(buffer.clear()) == []
