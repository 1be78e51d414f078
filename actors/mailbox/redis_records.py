"""The records of the mailbox on a server."""

from typing import Any, Protocol

import msgspec

from ...messages.delivery import NO_HISTORY, History, OutcomeKind, Reason
from .connections import Argument
from .records import MOST_LOOKED_AT, MOST_RECORDS, Completion, EndedRecord, FoundDelivery, LiveDelivery, State

_history_decoder = msgspec.json.Decoder(History)


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
        return _read_records(self._ask("ended", queue, limit))


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


def _read_record(name: bytes, flat: list[bytes]) -> EndedRecord:
    """One record, of its name and its fields with their values."""
    parts = iter(flat)
    record = dict(zip(parts, parts, strict=True))
    return EndedRecord(
        id=name.decode(),
        queue=record[b"queue"].decode(),
        kind=OutcomeKind(record[b"kind"].decode()),
        reason=Reason(record[b"reason"].decode()),
        at=int(record[b"at"]),
        history=_read_history(record[b"history"]),
        stored=record[b"stored"],
        detail=record[b"detail"].decode() or None,
    )


def _read_history(encoded: bytes) -> History:
    return _history_decoder.decode(encoded) if encoded else NO_HISTORY
