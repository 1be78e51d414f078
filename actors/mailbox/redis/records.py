"""The records of the mailbox on a server."""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, Protocol

import msgspec

from ....messages.delivery import NO_HISTORY, History, OutcomeKind, Reason
from ..connections import Argument
from ..mailbox import MIN_WINDOW_MS
from ..records import (
    MOST_LOOKED_AT,
    MOST_RECORDS,
    NO_FACTS,
    Completion,
    Cursor,
    EndedRecord,
    Facts,
    FoundDelivery,
    LiveDelivery,
    Page,
    Redress,
    Replay,
    Span,
    State,
    records_in,
)

_history_decoder = msgspec.json.Decoder(History)
_facts_decoder = msgspec.json.Decoder(Facts)


class Ask(Protocol):
    """Runs a script of the mailbox, trying again while patience lasts."""

    def __call__(self, script: str, *arguments: Argument) -> Any:
        """Its answer; raises `MailboxUnavailable` or `MailboxRefused`."""
        ...


class RedisRecords:
    """Looks up what a workspace on a server keeps; implements `Records`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def find(self, identity: str) -> tuple[FoundDelivery, ...]:
        """See `Records.find`."""
        _now, *found = self._ask("find", identity, MOST_LOOKED_AT, MOST_RECORDS)
        return tuple(_read_found(each) for each in found)

    def ended(self, queue: str, limit: int) -> list[EndedRecord]:
        """See `Mailbox.ended`."""
        spans = [Span(queue, kind, bodies=True) for kind in (OutcomeKind.DEAD, OutcomeKind.DISCARDED)]
        latest = [islice(records_in(self, span), limit) for span in spans]
        return sorted(chain(*latest), key=lambda each: (each.at, each.id), reverse=True)[:limit]

    def page(self, span: Span, limit: int, start: Cursor | None = None) -> Page:
        """See `Records.page`."""
        at, name, *records = self._ask(
            "page",
            span.queue,
            span.kind.value,
            "newest" if span.newest_first else "oldest",
            span.since,
            "+inf" if span.until is None else span.until,
            *(("", "") if start is None else start),
            span.actor,
            limit,
            int(span.bodies),
        )
        return Page(_read_records(records), (int(float(at)), name.decode()) if name else None)

    def get(self, name: str) -> EndedRecord | None:
        """See `Records.get`."""
        records = _read_records(self._ask("record", name))
        return records[0] if records else None

    def replay(self, letters: Sequence[Replay], run: str) -> list[Redress]:
        """See `Records.replay`."""
        arguments: list[Argument] = [run, len(letters)]
        for each in letters:
            arguments += (each.name, each.queue, each.id, max(each.window_ms, MIN_WINDOW_MS), each.lane)
        return _redresses(self._ask("replay", *arguments))

    def discard(self, names: Sequence[str], run: str) -> list[Redress]:
        """See `Records.discard`."""
        return _redresses(self._ask("discard", run, *names))


def _redresses(answers: list[bytes]) -> list[Redress]:
    return [Redress(answer.decode()) for answer in answers]


def _read_records(answer: list[Any]) -> list[EndedRecord]:
    parts = iter(answer)
    return [_read_record(name, kept) for name, kept in zip(parts, parts, strict=True)]


def _read_found(answer: list[Any]) -> FoundDelivery:
    identity, queue, live, completed, records = answer
    return FoundDelivery(
        identity.decode(),
        queue.decode(),
        _read_live(live) if live else None,
        Completion(*completed) if completed else None,
        tuple(sorted(_read_records(records), key=lambda each: each.at, reverse=True)),
    )


def _read_live(answer: list[Any]) -> LiveDelivery:
    stored, history, state, until, owner, ahead, behind = answer
    return LiveDelivery(
        State(state.decode()),
        stored,
        _read_history(history),
        int(float(until)) if until else None,
        owner.decode(),
        None if ahead < 0 else ahead,
        behind.decode(),
    )


def _read_record(name: bytes, fields: list[Any]) -> EndedRecord:
    """One record, of its name and its fields in the order in which the scripts ask for them."""
    kind, reason, detail, queue, at, until, history, facts, lane, was, replayed, header, *body = fields
    return EndedRecord(
        name.decode(),
        queue.decode(),
        OutcomeKind(kind.decode()),
        Reason(reason.decode()) if reason else None,
        int(at),
        _read_history(history),
        header + (body[0] if body else b""),
        detail.decode() or None,
        _facts_decoder.decode(facts) if facts else NO_FACTS,
        int(until),
        lane.decode(),
        Reason(was.decode()) if was else None,
        int(replayed) if replayed else None,
    )


def _read_history(encoded: bytes) -> History:
    return _history_decoder.decode(encoded) if encoded else NO_HISTORY
