"""Makes what became of items durable: behind handlers, at once where asked for, always before the end."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

import msgspec
import structlog

from ..messages.delivery import Delivery
from ..messages.errors import LedgerUnreadable, MailboxError, MailboxUnavailable
from ..messages.items import ItemRecord
from ..observability.tracebacks import report, told
from .attempt_items import AttemptItems, lost
from .mailbox.ledger import Ledger, Notes

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.items")

BEHIND_SECONDS = 0.05
"""How long what became of an item may wait for others to be written with."""

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0

_STAYS_SECONDS = 1.0
"""How long the thread looks on when there is nothing left, so that the next attempt need not wake it."""


class Watched(msgspec.Struct, eq=False):
    """An attempt with items that the thread looks after."""

    items: AttemptItems
    then: Callable[[], None] | None = None
    """What to do when it has ended and all of it is durable; None while it runs."""
    pause: float = 0.0
    """Seconds to wait after a write that failed; it doubles."""
    due: float = 0.0
    """When it is tried next, by the monotonic clock."""

    def failed(self, now: float) -> None:
        """A write of it failed: try again later."""
        self.pause = min(max(_FIRST_PAUSE, 2 * self.pause), _LONGEST_PAUSE)
        self.due = now + self.pause


class ItemWriter:
    """Writes for all attempts of a process. Until it is started there is no thread: what is not asked to be
    durable at once is then written at the end of each attempt.
    """

    def __init__(self, ledger: Callable[[], Ledger]) -> None:
        self._ledger = ledger
        self._new: deque[Watched] = deque()
        self._watched: dict[AttemptItems, Watched] = {}
        # Handlers wake the thread, and a timeout may interrupt them: only what C does in one step is safe.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._awake = False
        self._moves = 0
        self._stop_at: float | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Write behind from now on."""
        self._stop_at = None
        self._thread = threading.Thread(target=self._run, name="callboard-items", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> int:
        """Write what is left, for at most `seconds`; how many ended attempts could not be written."""
        if self._thread is None:
            return 0
        self._stop_at = time.monotonic() + seconds
        self._wake.put(None)
        self._thread.join(seconds + 1)
        self._thread = None
        return sum(each.then is not None for each in [*self._watched.values(), *self._new])

    @property
    def mark(self) -> int | None:
        """Another one whenever the thread has moved; None while it has nothing to look after."""
        return self._moves if self._watched or self._new else None

    # What attempts ask.

    def read(self, delivery: Delivery) -> list[ItemRecord]:
        """What earlier attempts made of the items of a delivery; raises `LedgerUnreadable`."""
        try:
            return self._ledger().of(delivery.id)
        except MailboxError as error:
            raise LedgerUnreadable(f"which items were done cannot be read: {error}") from error

    def watch(self, items: AttemptItems) -> None:
        """Write behind what becomes of these."""
        if self._thread is not None:
            self._add(Watched(items))

    def write(self, items: AttemptItems) -> None:
        """Return when all that was noted is durable, however long that takes; raises `AttemptLost`."""
        pause = _FIRST_PAUSE
        while not items.delivery.lost:
            try:
                self._write([items])
            except MailboxError as error:
                logger.warning("a durable item waits", delivery=repr(items.delivery), error=str(error))
            else:
                break
            # Short enough for a timeout to be precise.
            time.sleep(pause)
            pause = min(2 * pause, BEHIND_SECONDS)
        if items.delivery.lost:
            raise lost()

    def finish(self, items: AttemptItems, then: Callable[[], None]) -> None:
        """The attempt has ended: call `then`, here or on the thread, once all is durable or fenced off."""
        items.delivery.concluded = True
        if self._thread is None:
            if items.pending and not items.delivery.lost:
                self._write([items])
            then()
        else:
            self._add(Watched(items, then))

    def _add(self, watched: Watched) -> None:
        self._new.append(watched)
        # As for the settler: waking a thread for each attempt would cost more than writing.
        if not self._awake or watched.then is not None:
            self._awake = True
            self._wake.put(None)

    # What the thread does.

    def _run(self) -> None:
        idle_since = time.monotonic()
        while True:
            self._moves += 1
            now = time.monotonic()
            if self._watched:
                idle_since = now
            is_idle = now - idle_since > _STAYS_SECONDS
            if is_idle:
                self._awake = False
            self._sleep(None if is_idle and not self._new else self._patience(now))
            self._awake = True
            self._take_in()
            self._write_all(time.monotonic())
            if self._stop_at is not None and self._may_stop(self._stop_at):
                return

    def _patience(self, now: float) -> float:
        dues = [each.due for each in self._watched.values() if each.then is not None]
        return max(0.0, min([BEHIND_SECONDS, *(due - now for due in dues)]))

    def _sleep(self, seconds: float | None) -> None:
        try:
            self._wake.get(timeout=seconds)
            while True:
                self._wake.get_nowait()
        except Empty:
            return

    def _may_stop(self, stop_at: float) -> bool:
        if self._new:
            return False
        is_done = all(each.then is None for each in self._watched.values())
        return is_done or time.monotonic() >= stop_at

    def _take_in(self) -> None:
        while self._new:
            new = self._new.popleft()
            known = self._watched.setdefault(new.items, new)
            known.then = new.then

    def _write_all(self, now: float) -> None:
        due = [each for each in list(self._watched.values()) if each.due <= now]
        self._try([each for each in due if each.items.pending], now)
        for each in due:
            if each.then is not None and not each.items.pending:
                del self._watched[each.items]
                self._hand_over(each.then)

    def _try(self, group: Sequence[Watched], now: float) -> None:
        """Write a group; if it is refused as a whole each by itself, for one must not hold up the others."""
        if not group:
            return
        self._moves += 1
        try:
            self._write([each.items for each in group])
        except Exception as error:  # noqa: BLE001 - as is told here
            if len(group) > 1 and not isinstance(error, MailboxUnavailable):
                for each in group:
                    self._try([each], now)
                return
            at_fault = not isinstance(error, MailboxError)
            logger.warning(
                "items wait to be written",
                deliveries=len(group),
                error=str(error),
                exception=told(error) if at_fault else None,
            )
            for each in group:
                each.failed(now)
        else:
            for each in group:
                each.pause = 0.0

    def _write(self, some: Iterable[AttemptItems]) -> None:
        notes = [(items, Notes(items.delivery, list(items.pending.values()))) for items in some]
        held = self._ledger().write([note for _, note in notes])
        for (items, note), is_held in zip(notes, held, strict=True):
            if is_held:
                items.written(note.records)
            else:
                items.fenced()

    def _hand_over(self, then: Callable[[], None]) -> None:
        try:
            then()
        except Exception as error:  # noqa: BLE001 - as is told here
            report(logger, "the end of an attempt could not be handed over", error)
