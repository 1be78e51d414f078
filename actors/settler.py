"""The thread that makes outcomes durable, all that have gathered at once, so that no worker thread waits."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from math import inf

import msgspec
import structlog

from ..messages.delivery import Delivery
from ..messages.errors import MailboxError, MailboxUnavailable, StaleRoutes
from ..observability.tracebacks import told
from .aside import Aside
from .mailbox.mailbox import Mailbox, Posting, Settlement
from .plainer import plainer

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.settler")

Reroute = Callable[[Sequence[Posting]], tuple[Posting, ...]]
"""Finds the routes of postings anew."""

Record = Callable[[Sequence[Settlement], Sequence[bool]], None]
"""Counts settlements, each by whether it held."""

MOST_IN_A_GROUP = 1000
_GATHER_SECONDS = 0.003
_ENOUGH = 200
_LONGEST_PAUSE = 1.0

_ENOUGH_REFUSED = 8
"""So many refused one after another, and the rest of their group waits: it may be all of them."""

_MOST_FAULTS = 3
"""Errors that are not the mailbox's, after which a settlement is taken for one that cannot be written."""


class Settler:
    """Commits settlements in groups.

    `busy` tells whether more settlements are about to come, so that waiting a millisecond for them
    pays; `settled` is told which deliveries are no longer held, and which of them were fenced off;
    `record` is told what the mailbox answered, to count it.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        busy: Callable[[], bool],
        settled: Callable[[Sequence[Delivery], Sequence[Delivery]], None],
        reroute: Reroute = tuple,
        record: Record | None = None,
    ) -> None:
        self._mailbox = mailbox
        self._record = record
        self._busy = busy
        self._settled = settled
        self._reroute = reroute
        self._group: list[Settlement] = []
        self._waiting: deque[Settlement] = deque()
        self._aside = Aside()
        self._wake = threading.Event()
        self._awake = False
        self._moves = 0
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="callboard-settler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def mark(self) -> int | None:
        """Another one whenever it has moved; None while it has nothing to settle."""
        return self._moves if self._group or self._waiting else None

    def put(self, settlement: Settlement) -> None:
        """Hand a settlement over."""
        settlement.delivery.concluded = True
        self._waiting.append(settlement)
        # Waking the thread for each of many thousands a second would cost more than settling does.
        if not self._awake:
            self._awake = True
            self._wake.set()

    def stop(self, seconds: float) -> int:
        """Commit what has gathered, for at most `seconds`; how many settlements could not be written.

        What the mailbox refused is tried once more.
        """
        self._stop_at = time.monotonic() + seconds
        self._wake.set()
        self._thread.join(seconds + 1)
        return len(self._waiting) + len(self._group) + len(self._aside)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._aside.next_in(time.monotonic()))
            self._wake.clear()
            while group := self._next_group():
                if not self._commit_group(group):
                    return
            self._awake = False
            # One may have been put between the last look and the line above.
            if self._waiting:
                self._awake = True
                self._wake.set()
            elif self._stop_at is not None:
                self._commit_group(self._aside.take(inf, MOST_IN_A_GROUP))
                return

    def _next_group(self) -> list[Settlement]:
        """What was put aside and is due, or else what has gathered."""
        self._moves += 1
        if self._aside and (due := self._aside.take(time.monotonic(), MOST_IN_A_GROUP)):
            return due
        if self._waiting and len(self._waiting) < _ENOUGH and self._busy():
            time.sleep(_GATHER_SECONDS)
        count = min(len(self._waiting), MOST_IN_A_GROUP)
        return [self._waiting.popleft() for _ in range(count)]

    def _commit_group(self, group: list[Settlement]) -> bool:
        """Commit one group, trying as long as the worker lives; False when it is time to stop."""
        self._group = group
        pause = 0.02
        while self._group:
            try:
                self._group = self._commit(self._group)
            except MailboxUnavailable as error:
                logger.warning("settlements wait", count=len(self._group), error=str(error))
            if not self._group:
                break
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True

    def _commit(self, group: list[Settlement]) -> list[Settlement]:
        """Settle a group; what is refused as a whole is tried one by one. Returns what is left of it."""
        try:
            return self._try(group)
        except MailboxUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be written must not end the thread
            if len(group) > 1:
                return self._commit_singly(group)
            self._put_aside(group[0], error)
            return []

    def _try(self, group: list[Settlement]) -> list[Settlement]:
        self._moves += 1
        try:
            held = self._mailbox.settle(group)
        except StaleRoutes:
            return self._rerouted(group)
        self._tell(group, held)
        return []

    def _commit_singly(self, group: list[Settlement]) -> list[Settlement]:
        left: list[Settlement] = []
        aside_before = len(self._aside)
        for position, each in enumerate(group):
            # An error on the way leaves here what is still to be written.
            self._group = [*left, *group[position:]]
            if position == _ENOUGH_REFUSED and len(self._aside) - aside_before == position:
                self._put_aside_untried(group[position:])
                break
            left += self._commit([each])
        return left

    def _put_aside_untried(self, group: Sequence[Settlement]) -> None:
        now = time.monotonic()
        for each in group:
            self._aside.put(each, now, tried=False)

    def _put_aside(self, settlement: Settlement, error: Exception) -> None:
        at_fault = not isinstance(error, MailboxError)
        trial = self._aside.put(settlement, time.monotonic(), at_fault=at_fault)
        if trial.faults >= _MOST_FAULTS:
            self._write_plainer(settlement, error)
            return
        logger.warning(
            "settlements wait",
            count=1,
            delivery=repr(settlement.delivery),
            error=str(error),
            exception=told(error) if at_fault else None,
        )

    def _write_plainer(self, settlement: Settlement, error: Exception) -> None:
        """Write what can be written in the place of what cannot; else let the lease end, and say so."""
        for each in plainer(settlement, error):
            try:
                self._tell([each], self._mailbox.settle([each]))
            except MailboxUnavailable:
                return  # it is aside, and tried again
            except Exception:  # noqa: BLE001, S112 - the next is plainer
                continue
            logger.error(
                "a settlement cannot be written: a plainer one was",
                delivery=repr(settlement.delivery),
                outcome=each.outcome.kind.value,
                exception=told(error),
            )
            return
        logger.error(
            "a settlement cannot be written: the delivery will start again when its lease has ended",
            delivery=repr(settlement.delivery),
            exception=told(error),
        )
        self._forget([settlement])

    def _tell(self, group: Sequence[Settlement], held: Sequence[bool]) -> None:
        if self._record is not None:
            self._record(group, held)
        fenced = [] if all(held) else [s.delivery for s, kept in zip(group, held, strict=True) if not kept]
        self._forget(group, fenced)

    def _forget(self, group: Sequence[Settlement], fenced: Sequence[Delivery] = ()) -> None:
        deliveries = [settlement.delivery for settlement in group]
        self._aside.forget(deliveries)
        self._settled(deliveries, fenced)

    def _rerouted(self, group: Sequence[Settlement]) -> list[Settlement]:
        """The same settlements, what they publish by the routes as they are now."""
        if not any(settlement.postings for settlement in group):
            return list(group)
        postings = iter(self._reroute([posting for settlement in group for posting in settlement.postings]))
        return [
            msgspec.structs.replace(each, postings=tuple(islice(postings, len(each.postings))))
            if each.postings
            else each
            for each in group
        ]
