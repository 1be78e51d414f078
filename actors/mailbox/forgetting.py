"""When dead letters are about to be forgotten, by age or by count: whoever should see them is told before."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from .infos import QueueInfo

LAST_PART = 0.1
"""A dead letter is told of when no more than this part of its retention is left."""

NEARLY_ALL = 0.8
"""And a queue when it keeps this part of as many as it may."""

MEND = "see `callboard dlq list`, and replay or discard what is there"


def about_to_be_forgotten(queues: Iterable[QueueInfo], now: int, most: int) -> Iterator[str]:
    """A line for each queue whose dead letters will soon be fewer by themselves.

    `now` is in epoch milliseconds, `most` how many a queue keeps.
    """
    for queue in queues:
        letters = queue.dead_letters
        if letters.next_forgotten_at and _is_in_last_part(letters.next_forgotten_at, letters.next_at, now):
            left = timedelta(seconds=max(0, letters.next_forgotten_at - now) // 1000)
            yield f"{queue.queue}: of {letters.count:,} dead letters the first is forgotten in {left}: {MEND}"
        if letters.count >= NEARLY_ALL * most:
            yield (
                f"{queue.queue}: {letters.count:,} dead letters, of {most:,} that are kept; beyond them the "
                f"oldest is forgotten: {MEND}"
            )


def _is_in_last_part(forgotten_at: int, since: int, now: int) -> bool:
    return forgotten_at - now <= LAST_PART * (forgotten_at - since)
