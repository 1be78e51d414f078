"""Many events in few calls: chunks of a size a server likes, the next one made while one is under way."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ..messages.errors import PublishError
from .prepared import Prepared

T = TypeVar("T")
Event = Prepared | PublishError
"""An event ready to be posted, or why it cannot be."""

CHUNK = 500
"""Events posted in one call."""

CHUNK_BYTES = 1_000_000
"""Bytes of bodies in one call, for a server does one thing at a time."""


def chunks(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Events in chunks, none empty."""
    chunk: list[Event] = []
    size = 0
    for event in events:
        chunk.append(event)
        size += len(event.body) if isinstance(event, Prepared) else 0
        if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def one_ahead(post: Callable[[Sequence[Event]], Iterable[T]], parts: Iterable[list[Event]]) -> Iterator[T]:
    """What `post` makes of each chunk, in order, while the next chunk is being made.

    When a chunk fails, those after it are not posted.
    """
    failed = False

    def post_in_turn(part: Sequence[Event]) -> Iterable[T]:
        nonlocal failed
        if failed:
            return ()
        try:
            return post(part)
        except BaseException:
            failed = True
            raise

    with ThreadPoolExecutor(1, thread_name_prefix="callboard-publish") as lane:
        under_way: Future[Iterable[T]] | None = None
        for part in parts:
            following = lane.submit(post_in_turn, part)
            if under_way is not None:
                yield from under_way.result()
            under_way = following
        if under_way is not None:
            yield from under_way.result()
