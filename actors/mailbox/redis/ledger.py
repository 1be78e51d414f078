"""The ledger on a server: a hash of items for each delivery that has any."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from ....messages.delivery import ErrorRecord
from ....messages.items import ItemRecord, ItemStatus
from ..connections import Argument
from ..ledger import Notes
from .wire import token_of

MOST_AT_ONCE = 1000
"""Items in one call of a script, so that nobody else waits long for the server."""

_LETTERS = {ItemStatus.SUCCEEDED: "s", ItemStatus.FAILED: "f", ItemStatus.SKIPPED: "k"}
_STATUSES = {letter: status for status, letter in _LETTERS.items()}
_REJECTED = "r"


class RedisLedger:
    """The items of a workspace on a server; implements `Ledger`.

    `run` tries a script once, for a worker knows how long it may wait; `ask` tries while patience lasts.
    """

    def __init__(self, run: Callable[[str, list[Argument]], Any], ask: Callable[..., Any]) -> None:
        self._run = run
        self._ask = ask

    def write(self, notes: Sequence[Notes]) -> list[bool]:
        """See `Ledger.write`."""
        held = [True] * len(notes)
        for part in _parts(notes):
            answers = self._run("items-write", _arguments([each for _, each in part]))
            for (position, _), answer in zip(part, answers, strict=True):
                held[position] = held[position] and answer == 1
        return held

    def of(self, delivery_id: str) -> list[ItemRecord]:
        """See `Ledger.of`."""
        return self._read("live", delivery_id)

    def of_ended(self, record_id: str) -> list[ItemRecord]:
        """See `Ledger.of_ended`."""
        return self._read("ended", record_id)

    def _read(self, place: str, name: str) -> list[ItemRecord]:
        # A page may tell again what an earlier one told.
        records: dict[str, ItemRecord] = {}
        cursor: Argument = 0
        while True:
            cursor, entries, replays = self._ask("items-read", place, name, cursor, MOST_AT_ONCE)
            flat = iter(entries)
            for field, value in zip(flat, flat, strict=True):
                record = decoded(field.decode(), value.decode(), replays)
                records[record.field] = record
            if cursor == b"0":
                return list(records.values())


def _parts(notes: Sequence[Notes]) -> Iterator[list[tuple[int, Notes]]]:
    """What goes into each call, with the positions of the notes it is of."""
    part: list[tuple[int, Notes]] = []
    room = MOST_AT_ONCE
    for position, each in enumerate(notes):
        records = each.records
        while records:
            part.append((position, Notes(each.delivery, records[:room])))
            records, room = records[room:], room - len(part[-1][1].records)
            if not room:
                yield part
                part, room = [], MOST_AT_ONCE
    if part:
        yield part


def _arguments(notes: Sequence[Notes]) -> list[Argument]:
    out: list[Argument] = [len(notes)]
    for each in notes:
        out += (each.delivery.id, token_of(each.delivery), len(each.records))
        replays = each.delivery.history.replays
        out += chain.from_iterable((record.field, encoded(record, replays)) for record in each.records)
    return out


def encoded(record: ItemRecord, replays: int) -> str:
    """A record as the server keeps it: letter and tries, when it began, how long it took, its error.

    One that was given up tells how often its delivery had been replayed by then.
    """
    letter = f"{_REJECTED}{replays}." if record.rejected else _LETTERS[record.status]
    head = f"{letter}{record.attempts} {record.started_at} {record.ended_at - record.started_at}"
    if record.error is None:
        return head
    return f"{head} {record.error.type.replace(' ', '_')} {record.error.message}"


def decoded(field: str, value: str, replays: int) -> ItemRecord:
    """The record of a field and what the server keeps of it, of a delivery that was replayed so often."""
    loop, _, key = field.partition(":")
    tries, began, took, *error = value.split(" ", 4)
    started_at = int(began)
    ended_at = started_at + int(took)
    given_up = tries[0] == _REJECTED
    before, _, attempts = tries[1:].rpartition(".")
    rejected = given_up and int(before) == replays
    return ItemRecord(
        key,
        ItemStatus.FAILED if given_up else _STATUSES[tries[0]],
        int(attempts),
        started_at,
        ended_at,
        ErrorRecord(error[0], error[1], ended_at) if error else None,
        rejected,
        loop,
    )
