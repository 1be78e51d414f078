"""The memory mailbox's records: the model of the others."""

import threading
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ....messages.delivery import History, OutcomeKind, Reason
from ....messages.stored import HEADER_SIZE, stored_as
from ..mailbox import Target, Verdict
from ..records import Cursor, EndedRecord, FoundDelivery, Page, Redress, Replay, Span
from .deliveries import Deliveries
from .remembered import Remembered
from .routes import Routes


class MemoryRecords:
    """Looks up what `MemoryMailbox` keeps; implements `Records`."""

    def __init__(
        self, lock: threading.Condition, now: Callable[[], int], deliveries: Deliveries, routes: Routes
    ) -> None:
        self._lock = lock
        self._now = now
        self._deliveries = deliveries
        self._routes = routes
        self._mended: Remembered[str, str] = Remembered()
        """Which run mended a dead letter, by its name, and how."""

    def find(self, identity: str) -> tuple[FoundDelivery, ...]:
        """See `Records.find`."""
        with self._lock:
            now = self._now()
            routed = [f"{each.actor}:{identity}" for each in self._routes.book(now).subscriptions]
            ids = dict.fromkeys([*routed, *self._deliveries.aliases.of(identity, now), identity])
            found = [self._deliveries.look_up(each, now) for each in ids]
            return tuple(each for each in found if each is not None)

    def page(self, span: Span, limit: int, start: Cursor | None = None) -> Page:
        """See `Records.page`."""
        with self._lock:
            page = self._deliveries.records.page(span, limit, start, self._now())
        if span.bodies:
            return page
        return Page([replace(each, stored=each.stored[:HEADER_SIZE]) for each in page.records], page.next)

    def get(self, name: str) -> EndedRecord | None:
        """See `Records.get`."""
        with self._lock:
            return self._deliveries.records.get(name, self._now())

    def replay(self, letters: Sequence[Replay], run: str) -> list[Redress]:
        """See `Records.replay`."""
        with self._lock:
            answers = [self._replay(letter, f"replayed {run}", self._now()) for letter in letters]
            self._lock.notify_all()
            return answers

    def discard(self, names: Sequence[str], run: str) -> list[Redress]:
        """See `Records.discard`."""
        with self._lock:
            return [self._discard(name, f"discarded {run}", self._now()) for name in names]

    def _replay(self, letter: Replay, run: str, now: int) -> Redress:
        record = self._letter(letter.name, run, now)
        if isinstance(record, Redress):
            return record
        redress = self._revive(letter, record, now)
        if redress is Redress.DONE:
            self._mend(record, run, now)
            self._deliveries.records.replace(replace(record, replayed_at=now))
        return redress

    def _revive(self, letter: Replay, record: EndedRecord, now: int) -> Redress:
        actor, _, key = letter.id.partition(":")
        is_itself = letter.id == record.delivery
        lane = letter.lane or (record.lane if is_itself else "")
        target = Target(actor, letter.queue, key, letter.window_ms, lane)
        fingerprint = record.fingerprint
        verdict = self._deliveries.judge(target, fingerprint, now)
        if verdict is not Verdict.ACCEPTED:
            return Redress.DUPLICATE if verdict is Verdict.DUPLICATE else Redress.CONFLICT
        # Its age begins anew, or it would be too old at once.
        stored = stored_as(fingerprint, now, now, record.body)
        live = self._deliveries.arrive(target, stored, now, now)
        items = self._deliveries.records.take_items(record.id) if is_itself else {}
        if items:
            live.items = {field: replace(item, rejected=False) for field, item in items.items()}
            live.history = History(items=True, replays=record.history.replays + 1)
        self._deliveries.queue(letter.queue).tallies["replayed"] += 1
        return Redress.DONE

    def _discard(self, name: str, run: str, now: int) -> Redress:
        record = self._letter(name, run, now)
        if isinstance(record, Redress):
            return record
        self._mend(record, run, now)
        discarded = replace(
            record, kind=OutcomeKind.DISCARDED, reason=Reason.OPERATOR, was=record.reason, at=now
        )
        self._deliveries.records.replace(discarded)
        self._deliveries.records.put_in_order(discarded)
        tallies = self._deliveries.queue(record.queue).tallies
        tallies["dead"] -= 1
        tallies["discarded"] += 1
        return Redress.DONE

    def _letter(self, name: str, run: str, now: int) -> EndedRecord | Redress:
        """A dead letter that may be mended, or the answer."""
        record = self._deliveries.records.get(name, now)
        if record is None:
            return Redress.GONE
        mended = self._mended.get(name, now)
        if mended is not None:
            return Redress.DONE if mended == run else Redress.ALREADY
        return record if record.kind is OutcomeKind.DEAD else Redress.GONE

    def _mend(self, record: EndedRecord, run: str, now: int) -> None:
        self._mended.put(record.id, run, now=now, until=record.until)
        self._deliveries.records.take_out(record)
