"""What a partial failure says, and what policies make of it."""

import pytest

from callboard import PartialFailure, Retry
from callboard.messages.delivery import LONGEST_ERROR
from callboard.messages.items import ItemCounts


def partial(
    failed: list[tuple[str, str]], counts: ItemCounts | None = None, *, left_early: bool = False
) -> PartialFailure:
    known = counts or ItemCounts(succeeded=3, failed=len(failed))
    return PartialFailure(known, failed, unfinished=True, left_early=left_early)


def test_it_names_the_first_failed_items_and_how_many_more() -> None:
    error = partial([(f"sku-{number}", "KeyError") for number in range(7)])
    assert str(error) == (
        "7 items failed: sku-0 (KeyError), sku-1 (KeyError), sku-2 (KeyError), sku-3 (KeyError), "
        "sku-4 (KeyError) and 2 more; 3 succeeded, 0 skipped"
    )
    assert error.failed == tuple(f"sku-{number}" for number in range(7))


def test_its_text_fits_into_a_record_however_long_keys_are() -> None:
    error = partial([(f"{number}" + "k" * 255, "E" * 30) for number in range(100_000)])
    assert len(str(error)) < LONGEST_ERROR
    assert " and 99,995 more" in str(error)


@pytest.mark.parametrize(
    ("counts", "left_early", "words"),
    [
        (ItemCounts(1, not_done=2), True, "2 items not done: the loop was left before its end"),
        (ItemCounts(1), True, "items not done: the loop was left before its end"),
        (
            ItemCounts(1, not_done=1),
            False,
            "1 item not done: what was begun in no `with item:`, or did not end",
        ),
    ],
)
def test_it_says_why_items_are_not_done(counts: ItemCounts, left_early: bool, words: str) -> None:
    assert str(partial([], counts, left_early=left_early)) == f"{words}; 1 succeeded, 0 skipped"


@pytest.mark.parametrize(
    ("retry", "whole", "item"),
    [
        (Retry.exponential(), True, True),
        (Retry.every("1m", on=KeyError), True, True),
        (Retry.every("1m", on=(OSError, ValueError)), True, False),
        (Retry.every("1m", on=PartialFailure), True, True),
        (Retry.every("1m", never_on=KeyError), True, False),
        (Retry.every("1m", never_on=LookupError), True, False),
        (Retry.every("1m", never_on=PartialFailure), False, False),
        (Retry.every("1m", on=KeyError, never_on=PartialFailure), False, False),
    ],
)
def test_on_and_never_on_are_asked_of_items_and_of_the_whole(retry: Retry, whole: bool, item: bool) -> None:
    assert retry.tries_again(partial([("sku-1", "KeyError")])) is whole
    assert retry.tries_item_again(KeyError("sku-1")) is item
