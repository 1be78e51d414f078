"""What does not move is told from what has nothing to do, and from a process that stood still as a whole."""

from callboard.observability.stillness import MOST_BETWEEN, Stillness


def test_what_moves_or_has_nothing_to_do_is_not_still() -> None:
    stillness = Stillness()
    for now in range(100):
        assert stillness.look({"loop": now, "settler": None}, now) == {"loop": 0, "settler": 0}


def test_what_does_not_move_is_still_for_as_long_as_it_was_looked_at() -> None:
    stillness = Stillness()
    told = [stillness.look({"loop": 7}, now)["loop"] for now in (0.0, 1.0, 2.5, 3.0)]
    assert told == [0, 1, 2.5, 3]
    assert stillness.look({"loop": 8}, 4.0) == {"loop": 0}
    assert stillness.look({"loop": 8}, 5.0) == {"loop": 1}


def test_nothing_to_do_in_between_begins_it_anew() -> None:
    stillness = Stillness()
    told = [stillness.look({"settler": mark}, now)["settler"] for now, mark in enumerate([1, 1, None, 1, 1])]
    assert told == [0, 1, 0, 0, 1]


def test_a_process_that_stood_still_blames_none_of_its_parts() -> None:
    stillness = Stillness()
    stillness.look({"consumer of orders": 7}, 0.0)
    assert stillness.look({"consumer of orders": 7}, 3600.0) == {"consumer of orders": MOST_BETWEEN}
    assert stillness.look({"consumer of orders": 8}, 3601.0) == {"consumer of orders": 0}


def test_a_part_that_comes_later_is_looked_at_from_then_on() -> None:
    stillness = Stillness()
    stillness.look({}, 0.0)
    assert stillness.look({"consumer of orders": -1}, 1.0) == {"consumer of orders": 0}
    assert stillness.look({"consumer of orders": -1}, 2.0) == {"consumer of orders": 1}
    assert stillness.look({}, 3.0) == {}
