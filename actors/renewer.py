"""The thread that renews the leases of what a worker holds, and tells the mailbox that it is there."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.metadata import version

import structlog

from ..messages.delivery import Delivery
from ..messages.errors import MailboxError
from ..observability.tracebacks import report
from .mailbox.mailbox import Mailbox

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.renewer")

HEARTBEAT_SECONDS = 10.0
CONFIRM_SECONDS = 20.0
LOOK_AFTER_SECONDS = 3600.0
"""So often that what an actor says is upheld while a worker lives that says it."""


class Renewer:
    """Renews every third of a lease; a delivery that is no longer held is reported to `lost`."""

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        owner: str,
        queues: Collection[str],
        lease_ms: int,
        held: Callable[[], Iterable[Delivery]],
        lost: Callable[[Sequence[Delivery]], None],
        confirm: Callable[[], None],
        look_after: Callable[[], None] = lambda: None,
    ) -> None:
        self._mailbox = mailbox
        self._owner = owner
        self._queues = queues
        self._version = version("callboard")
        self._lease_ms = lease_ms
        self._held = held
        self._lost = lost
        self._confirm = confirm
        self._look_after = look_after
        self.mark = 0
        """Another one whenever it has moved."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callboard-renewer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and say that the worker leaves."""
        self._stopping.set()
        self._thread.join(5)
        self._try("leave", lambda: self._mailbox.heartbeat(self._owner, self._queues, leaving=True))

    def _run(self) -> None:
        third = self._lease_ms / 3000
        beat_at = confirm_at = time.monotonic()
        confirm_at += CONFIRM_SECONDS
        look_at = time.monotonic()
        while True:
            now = time.monotonic()
            self._try("renew", self._renew)
            if now >= beat_at:
                beat_at = now + HEARTBEAT_SECONDS
                self._try(
                    "heartbeat",
                    lambda: self._mailbox.heartbeat(self._owner, self._queues, version=self._version),
                )
            if now >= confirm_at:
                confirm_at = now + CONFIRM_SECONDS
                self._try("confirm routes", self._confirm)
            if now >= look_at:
                look_at = now + LOOK_AFTER_SECONDS
                self._try("look after", self._look_after)
            if self._stopping.wait(min(third, HEARTBEAT_SECONDS)):
                return

    def _renew(self) -> None:
        held = list(self._held())
        if not held:
            return
        # Taken before the server is asked: however late its answer comes, the lease is not thought longer.
        asked_at = time.monotonic()
        lost = self._mailbox.renew(held, self._lease_ms)
        for delivery in held:
            delivery.leased_at = asked_at
        if lost:
            self._lost(lost)

    def _try(self, what: str, do: Callable[[], None]) -> None:
        self.mark += 1
        try:
            do()
        except MailboxError as error:
            # The next round tries again; a lease that ends meanwhile is taken over, as it must be.
            logger.warning("the mailbox could not be told", what=what, error=str(error))
        except Exception as error:  # noqa: BLE001 - as is told here
            # Without this thread every lease of the process would end while its handlers run.
            report(logger, "the mailbox could not be told", error, what=what)
