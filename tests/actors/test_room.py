"""A consumer fetches what will be taken soon, and gives back what stands."""

from callboard.actors.prefetch import MOST
from callboard.actors.room import MOST_AT_ONCE, STUCK_SECONDS, Room


def test_threads_with_nothing_to_do_have_room() -> None:
    assert Room(0.0).for_threads(0.0, 0, free=8, waiting=0) == 8
    assert Room(0.0).for_threads(0.0, 0, free=8, waiting=5) == 3
    assert Room(0.0).for_threads(0.0, 0, free=0, waiting=0) == 0


def test_a_deep_buffer_is_filled_in_parts() -> None:
    room, taken = Room(0.0), 0
    for look in range(1, 20):
        taken += 1_000
        room.for_threads(look * 0.01, taken, free=0, waiting=0)
    assert room.for_threads(0.2, taken + 1_000, free=0, waiting=0) == MOST_AT_ONCE
    assert room.for_threads(0.2, taken + 1_000, free=0, waiting=room.low + 1) == 0
    assert room.for_threads(0.2, taken + 1_000, free=0, waiting=room.low) == MOST // 4


def test_for_handlers_of_both_kinds_no_more_is_looked_for_than_threads_could_take() -> None:
    room = Room(0.0)
    assert room.for_both(0, 100, spare=8, taken=0) == 8
    assert room.for_both(0, 3, spare=8, taken=0) == 3
    assert room.for_both(20, 100, spare=8, taken=0) == 20
    assert room.for_both(0, 100, spare=-1, taken=0) <= 0


def test_what_stands_is_given_back_and_not_looked_for_until_something_moves() -> None:
    room = Room(0.0)
    assert not room.stands(STUCK_SECONDS, 0, 5)
    assert room.stands(STUCK_SECONDS + 0.01, 0, 5)
    assert room.for_both(0, 100, spare=8, taken=0) == 0
    assert room.for_both(0, 100, spare=8, taken=1) == 8


def test_what_moves_or_is_empty_does_not_stand() -> None:
    room = Room(0.0)
    assert not room.stands(1.0, 1, 5)
    assert not room.stands(2.0, 1, 0)
    assert not room.stands(2.0 + STUCK_SECONDS, 1, 5)
