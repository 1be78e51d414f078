"""The thread that makes outcomes durable, all that have gathered at once, so that no worker thread waits."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

import msgspec
import structlog

from ..messages.delivery import Delivery
from ..messages.errors import MailboxError, MailboxRefused, StaleRoutes
from .mailbox.mailbox import Mailbox, Posting, Settlement

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.settler")

Reroute = Callable[[Sequence[Posting]], tuple[Posting, ...]]
"""Finds the routes of postings anew."""

MOST_IN_A_GROUP = 1000
_GATHER_SECONDS = 0.003
_ENOUGH = 200
_LONGEST_PAUSE = 1.0


class Settler:
    """Commits settlements in groups.

    `busy` tells whether more settlements are about to come, so that waiting a millisecond for them
    pays; `settled` is told which deliveries are no longer held, and which of them were fenced off.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        busy: Callable[[], bool],
        settled: Callable[[Sequence[Delivery], Sequence[Delivery]], None],
        reroute: Reroute = tuple,
    ) -> None:
        self._mailbox = mailbox
        self._busy = busy
        self._settled = settled
        self._reroute = reroute
        self._group: list[Settlement] = []
        self._waiting: deque[Settlement] = deque()
        self._wake = threading.Event()
        self._awake = False
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="callboard-settler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, settlement: Settlement) -> None:
        """Hand a settlement over."""
        settlement.delivery.concluded = True
        self._waiting.append(settlement)
        # Waking the thread for each of many thousands a second would cost more than settling does.
        if not self._awake:
            self._awake = True
            self._wake.set()

    def stop(self, seconds: float) -> int:
        """Commit what has gathered, for at most `seconds`; how many settlements could not be written."""
        self._stop_at = time.monotonic() + seconds
        self._wake.set()
        self._thread.join(seconds + 1)
        return len(self._waiting) + len(self._group)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                if len(self._waiting) < _ENOUGH and self._busy():
                    time.sleep(_GATHER_SECONDS)
                if not self._commit_group():
                    return
            self._awake = False
            # One may have been put between the last look and the line above.
            if self._waiting:
                self._awake = True
                self._wake.set()
            elif self._stop_at is not None:
                return

    def _commit_group(self) -> bool:
        """Commit one group, trying as long as the worker lives; False when it is time to stop."""
        count = min(len(self._waiting), MOST_IN_A_GROUP)
        self._group = [self._waiting.popleft() for _ in range(count)]
        pause = 0.02
        while True:
            try:
                self._group = self._commit(self._group)
            except MailboxError as error:
                logger.warning("settlements wait", count=len(self._group), error=str(error))
            if not self._group:
                return True
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _commit(self, group: list[Settlement]) -> list[Settlement]:
        """Settle a group; what the server refuses as a whole is tried one by one. Returns what is left."""
        try:
            self._tell(group, self._mailbox.settle(group))
        except StaleRoutes:
            return self._rerouted(group)
        except MailboxRefused:
            if len(group) == 1:
                raise
            return [each for each in self._rerouted(group) if not self._commit_alone(each)]
        return []

    def _commit_alone(self, settlement: Settlement) -> bool:
        try:
            self._tell([settlement], self._mailbox.settle([settlement]))
        except (MailboxRefused, StaleRoutes) as error:
            logger.warning("settlement refused", delivery=repr(settlement.delivery), error=str(error))
            return False
        return True

    def _tell(self, group: Sequence[Settlement], held: Sequence[bool]) -> None:
        deliveries = [settlement.delivery for settlement in group]
        fenced = [] if all(held) else [d for d, kept in zip(deliveries, held, strict=True) if not kept]
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
