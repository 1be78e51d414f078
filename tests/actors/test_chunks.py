"""Events go out in chunks, the next one made while one is under way."""

from collections.abc import Iterator, Sequence

import pytest

from callboard.actors import chunks as module
from callboard.actors.chunks import Event, chunks, one_ahead
from callboard.messages.errors import MailboxUnavailable, UnroutedEvent


def refused(count: int) -> Iterator[Event]:
    return (UnroutedEvent(str(number)) for number in range(count))


def test_chunks_hold_all_events_in_order_and_none_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    assert [[str(event) for event in chunk] for chunk in chunks(refused(7))] == [
        ["0", "1", "2"],
        ["3", "4", "5"],
        ["6"],
    ]
    assert list(chunks(iter(()))) == []


def test_answers_come_in_order() -> None:
    parts: list[list[Event]] = [[UnroutedEvent(str(number))] for number in range(20)]
    assert list(one_ahead(lambda part: [str(part[0])], parts)) == [str(number) for number in range(20)]


def test_no_chunk_is_posted_after_one_that_failed() -> None:
    posted: list[str] = []

    def post(part: Sequence[Event]) -> list[str]:
        posted.append(str(part[0]))
        if len(posted) == 2:
            raise MailboxUnavailable("gone")
        return []

    chunks_of_one: list[list[Event]] = [[UnroutedEvent(str(number))] for number in range(5)]
    with pytest.raises(MailboxUnavailable):
        list(one_ahead(post, chunks_of_one))
    assert posted == ["0", "1"]
