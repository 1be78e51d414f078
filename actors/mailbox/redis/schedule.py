"""The schedule of the mailbox on a server."""

from collections.abc import Sequence

import msgspec

from ....messages.delivery import History
from ....messages.timing import After
from ..connections import Argument
from ..mailbox import ENDED_RETENTION_MS
from ..records import Records
from ..schedule import Answer, Schedule, Scheduled, Waiting
from .records import Ask

_history_decoder = msgspec.json.Decoder(History)


class RedisSchedule(Schedule):
    """What is due later in a workspace on a server."""

    def __init__(self, ask: Ask, records: Records, most_recorded: int) -> None:
        super().__init__(records)
        self._ask = ask
        self._most_recorded = most_recorded

    def page(self, queue: str, limit: int, after: Scheduled | None = None) -> list[Scheduled]:
        """See `Schedule.page`."""
        anchor: tuple[Argument, Argument] = (after.id, after.due_at) if after else ("", 0)
        answer = iter(self._ask("scheduled", queue, limit, *anchor))
        return [
            Scheduled(identity.decode(), queue, int(float(due_at)), _attempts(history))
            for identity, due_at, history in zip(answer, answer, answer, strict=True)
        ]

    def _cancel(self, some: Sequence[Waiting], detail: str) -> list[Answer]:
        return _read(self._ask("cancel", ENDED_RETENTION_MS, self._most_recorded, detail, *_put(some)))

    def _move(self, some: Sequence[Waiting], after: After) -> list[Answer]:
        return _read(self._ask("move", after.delay_ms, after.due_at, *_put(some)))


def _put(some: Sequence[Waiting]) -> list[Argument]:
    out: list[Argument] = [len(some)]
    for each in some:
        out += (each.id, each.queue)
    return out


def _read(letters: bytes) -> list[Answer]:
    return [Answer(letter) for letter in letters.decode()]


def _attempts(history: bytes | None) -> int:
    return _history_decoder.decode(history).attempts if history else 0
