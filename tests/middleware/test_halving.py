"""Halving finds the culprits of a batch in few calls, and knows when everything fails."""

from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from callboard.middleware.halving import CULPRITS, IN_A_ROW, Halving, most_calls

Fault = Callable[[tuple[int, ...]], BaseException | None]
"""What calling a group raises."""


def play(size: int, fault: Fault) -> tuple[Halving[int], list[int], list[int], int]:
    """Play a batch of numbers: the halving, who succeeded, who was blamed, and how many calls it took."""
    halving = Halving(range(size))
    done: list[int] = []
    blamed: list[int] = []
    calls = 0
    while (group := halving.next()) is not None:
        calls += 1
        error = fault(group)
        if error is None:
            halving.succeeded()
            done += group
        elif halving.failed(group, error):
            blamed += group
    return halving, done, blamed, calls


def bad(*numbers: int, error: Callable[[int], BaseException] = lambda _: ValueError()) -> Fault:
    """A group fails for the first of these that it holds."""

    def fault(group: tuple[int, ...]) -> BaseException | None:
        return next((error(each) for each in group if each in numbers), None)

    return fault


def test_a_batch_that_goes_through_is_one_call() -> None:
    _, done, blamed, calls = play(100, bad())
    assert (done, blamed, calls) == (list(range(100)), [], 1)


@pytest.mark.parametrize("culprit", [0, 1, 49, 50, 63, 99])
def test_one_culprit_of_a_hundred_is_found_in_fifteen_calls_and_is_the_only_one_blamed(culprit: int) -> None:
    _, done, blamed, calls = play(100, bad(culprit))
    assert blamed == [culprit]
    assert sorted([*done, culprit]) == list(range(100))
    assert calls <= 15


@given(st.integers(1, 300), st.data())
def test_so_many_culprits_are_found_wherever_they_stand(size: int, data: st.DataObject) -> None:
    culprits = data.draw(st.sets(st.integers(0, size - 1), max_size=CULPRITS))

    def error(number: int) -> BaseException:
        return [ValueError(), KeyError(), OSError(), TypeError()][sorted(culprits).index(number)]

    halving, done, blamed, _ = play(size, bad(*culprits, error=error))
    assert sorted(blamed) == sorted(culprits)
    assert sorted([*done, *culprits]) == list(range(size))
    assert halving.rest() == []


@given(st.integers(1, 300), st.data())
def test_nobody_is_blamed_who_goes_through_alone_and_nobody_is_forgotten(
    size: int, data: st.DataObject
) -> None:
    culprits = data.draw(st.sets(st.integers(0, size - 1)))
    halving, done, blamed, calls = play(size, bad(*culprits))
    assert set(blamed) <= culprits
    assert not set(done) & culprits
    assert sorted([*done, *blamed, *halving.rest()]) == list(range(size))
    assert calls <= most_calls(size)
    assert done or blamed


@pytest.mark.parametrize("size", [8, 100, 1000])
def test_when_everything_fails_of_the_same_error_the_rest_is_spared_after_a_few_calls(size: int) -> None:
    halving, done, blamed, calls = play(size, lambda _: ConnectionError())
    assert halving.is_systemic
    assert (done, blamed) == ([], list(range(IN_A_ROW)))
    assert len(halving.rest()) == size - IN_A_ROW
    assert calls <= 2 * size.bit_length()


def test_neighbours_that_fail_alike_do_not_keep_the_others_from_being_done() -> None:
    halving, done, blamed, _ = play(100, bad(10, 11, 12))
    assert not halving.is_systemic
    assert sorted(blamed) == [10, 11, 12]
    assert len(done) == 97


def test_errors_of_other_kinds_are_not_taken_for_one() -> None:
    kinds = [ValueError, KeyError, OSError, TypeError, ZeroDivisionError]
    halving, _, blamed, calls = play(5, bad(*range(5), error=lambda number: kinds[number]()))
    assert not halving.is_systemic
    assert sorted(blamed) == list(range(5))
    assert calls == 9


def test_there_are_only_so_many_calls_for_a_batch() -> None:
    kinds = [ValueError, KeyError]
    every_other = bad(*range(0, 1000, 2), error=lambda number: kinds[number // 2 % 2]())
    halving, done, blamed, calls = play(1000, every_other)
    assert calls == most_calls(1000) == 84
    assert done
    assert blamed
    assert len(halving.rest()) == 1000 - len(done) - len(blamed)


def test_a_batch_of_one_that_fails_is_to_blame() -> None:
    assert play(1, lambda _: ValueError())[1:] == ([], [0], 1)


def test_of_no_events_there_is_nothing_to_call() -> None:
    assert Halving([]).next() is None
