"""The thread that renews the claims a process holds in a store, and ends those that could not be ended."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from ...messages.errors import StoreError
from ...observability.tracebacks import report
from .store import Claim, DedupStore

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.dedup")

Ending = Callable[[DedupStore, Claim], bool]
"""Commits or releases a claim; whether it was still held."""

LONGEST_PAUSE = 1.0
"""Seconds after which a store that failed is asked again, or a tenth of a lease if that is shorter."""


@dataclass(slots=True, eq=False)
class Held:
    """One claim in hand."""

    claim: Claim
    until: float
    """When the lease ends as far as this process can know, by the monotonic clock, seconds."""
    wanted: Callable[[], bool] = lambda: True
    """Whether the lease shall be renewed once more."""
    ending: Ending | None = None
    """What is still to be written: the handler has ended."""

    @property
    def due(self) -> float:
        """When something is to be done with it."""
        return 0.0 if self.ending else self.until - self.claim.lease_ms * 2 / 3000


class Renewer:
    """Renews every third of a lease, with one thread for all claims of a store."""

    def __init__(self, store: DedupStore) -> None:
        self.store = store
        self._held: set[Held] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._shortest = float("inf")
        self._stop_at: float | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def hold(self, held: Held) -> None:
        """Renew a claim from now on."""
        self._add(held)

    def drop(self, held: Held) -> None:
        """Renew it no more."""
        with self._lock:
            self._held.discard(held)

    def finish_later(self, held: Held, ending: Ending) -> None:
        """Commit or release a claim as soon as the store can be reached, as long as its lease lasts."""
        held.ending = ending
        self._add(held)
        self._wake.set()

    def close(self, seconds: float) -> int:
        """Write what is still to be written, for at most so many seconds; how many could not be."""
        self._stop_at = time.monotonic() + seconds
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return sum(held.ending is not None for held in self._copy())

    def _add(self, held: Held) -> None:
        third = held.claim.lease_ms / 3000
        with self._lock:
            self._start()
            self._held.add(held)
            if third < self._shortest:
                self._shortest = third
                self._wake.set()

    def _start(self) -> None:
        if self._process != os.getpid():
            # A fork shares no thread with its parent, and what the parent holds is not its to renew.
            self._held, self._process = set(), os.getpid()
        if self._thread is None or not self._thread.is_alive():
            self._stop_at = None
            self._thread = threading.Thread(target=self._run, name="callboard-dedup-renewer", daemon=True)
            self._thread.start()

    def _copy(self) -> list[Held]:
        with self._lock:
            return list(self._held)

    def _run(self) -> None:
        while True:
            self._wake.clear()
            pause = self._round()
            with self._lock:
                if self._may_stop():
                    self._thread = None
                    return
            self._wake.wait(pause)

    def _may_stop(self) -> bool:
        if self._stop_at is None:
            return False
        return time.monotonic() >= self._stop_at or not any(held.ending for held in self._held)

    def _round(self) -> float:
        """Do what is due, the soonest to end first; seconds until the next round."""
        soonest = time.monotonic() + self._shortest
        for held in sorted(self._copy(), key=lambda held: held.until):
            if held.due > time.monotonic():
                soonest = min(soonest, held.due)
            elif not self._tend(held):
                # A store that failed one would fail the others: each of them would wait for that.
                return min(LONGEST_PAUSE, self._shortest * 0.3)
        return max(0.0, soonest - time.monotonic())

    def _tend(self, held: Held) -> bool:
        """Renew or end one claim; False when the store did not do it."""
        if held.ending is None and not held.wanted():
            self.drop(held)
            return True
        asked_at = time.monotonic()
        try:
            kept = held.ending(self.store, held.claim) if held.ending else self.store.renew(held.claim)
        except StoreError as error:
            self._failed(held, error)
            return False
        except Exception as error:  # noqa: BLE001 - as is told here
            report(logger, "a dedup store failed", error, owner=held.claim.owner)
            self.drop(held)
            return True
        if kept and held.ending is None:
            held.until = asked_at + held.claim.lease_ms / 1000
        else:
            self._end(held, kept=kept)
        return True

    def _failed(self, held: Held, error: StoreError) -> None:
        logger.warning("the dedup store could not be told", owner=held.claim.owner, error=str(error))
        now = time.monotonic()
        for each in self._copy():
            if each.ending is not None and each.until <= now:
                self._give_up(each)

    def _give_up(self, held: Held) -> None:
        self.drop(held)
        if held.claim.fence:
            logger.error(
                "the end of an attempt could not be written in the dedup store: its key may be handled again",
                owner=held.claim.owner,
                fence=held.claim.fence,
            )

    def _end(self, held: Held, *, kept: bool) -> None:
        with self._lock:
            was_held = held in self._held
            self._held.discard(held)
        # What is no longer among them was ended meanwhile by the thread that ran the handler.
        if was_held and not kept and held.claim.fence:
            logger.warning("claim lost: another may hold its key now", owner=held.claim.owner)
