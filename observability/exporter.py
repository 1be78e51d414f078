"""The process of a pool that adds up what its worker processes report, and shows it on one address."""

import select
import socket
import time
from collections.abc import Callable
from http import HTTPStatus

import msgspec
import structlog

from .collector import Collector
from .exposition import OPENMETRICS, TEXT, exposition, wants_openmetrics
from .listener import Answer, Listener
from .pool import Pool
from .recorder import NAMESPACE
from .report import Place, decode_report
from .state import StateSource

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.exporter")

LARGEST_DATAGRAM = 1 << 18
LOOK_SECONDS = 0.5
"""How often it is looked whether the pool is still there, while nobody reports."""

BIND_SECONDS = 1.0
"""How often an address that another has is tried again."""


class Exporter:
    """Takes reports from a socket until the pool is gone.

    `open_source` opens the mailbox of a place; `pool_lives` tells whether the pool's main process does.
    """

    def __init__(
        self,
        reports: socket.socket,
        *,
        open_source: Callable[[Place], StateSource],
        pool_lives: Callable[[], bool],
    ) -> None:
        self._reports = reports
        self._open_source = open_source
        self._pool_lives = pool_lives
        self._pool = Pool()
        self._collector: Collector | None = None
        self._listener: Listener | None = None
        self._place: Place | None = None
        self._bind_at = 0.0
        self._was_busy = False
        self.leaving = False
        """Set when the pool stops: what its workers still do is shown until they are gone."""

    @property
    def address(self) -> str | None:
        """Where it listens; None as long as it does not."""
        return None if self._listener is None else self._listener.address

    def run(self) -> None:
        """Work until the pool is gone."""
        try:
            while self._pool_lives() and not (self.leaving and not self._pool.processes):
                self._take_reports()
                self._pool.forget_dead()
                self._bind()
        finally:
            if self._listener is not None:
                self._listener.close()
            if self._collector is not None:
                self._collector.close()

    def _take_reports(self) -> None:
        ready, _, _ = select.select([self._reports], [], [], LOOK_SECONDS)
        if ready:
            self._receive(self._reports.recv(LARGEST_DATAGRAM))

    def _receive(self, datagram: bytes) -> None:
        try:
            report = decode_report(datagram)
        except msgspec.MsgspecError as error:
            logger.warning("a report cannot be read: is it from another version?", error=str(error))
            return
        self._pool.receive(report, time.monotonic())
        if self._place is None:
            self._place = place = report.place
            self._collector = Collector(lambda: self._open_source(place), place.version)

    def _bind(self) -> None:
        """Listen on the pool's address; while another has it, try again."""
        now = time.monotonic()
        if self._place is None or self._listener is not None or now < self._bind_at:
            return
        self._bind_at = now + BIND_SECONDS
        pages = {"/metrics": self._metrics, "/livez": self._livez, "/readyz": self._readyz}
        try:
            self._listener = Listener(self._place.address, pages)
        except OSError as error:
            self._tell_busy(self._place, error)
        else:
            logger.info("metrics are served", address=self._listener.address)

    def _tell_busy(self, place: Place, error: OSError) -> None:
        if not self._was_busy:
            tell = logger.warning if place.is_default else logger.error
            tell(busy(place.address), error=error.strerror)
        self._was_busy = True

    def _metrics(self, accept: str) -> Answer:
        book, states = self._pool.snapshot()
        if self._collector is not None:
            states |= self._collector.values()
        openmetrics = wants_openmetrics(accept)
        body = exposition(book, states, NAMESPACE, openmetrics=openmetrics)
        return Answer(body, OPENMETRICS if openmetrics else TEXT)

    def _livez(self, _accept: str) -> Answer:
        return _verdict(self._pool.ailments(time.monotonic()))

    def _readyz(self, _accept: str) -> Answer:
        faults = [] if self._pool.processes else ["no worker process is there"]
        fault = None if self._collector is None else self._collector.fault()
        return _verdict(faults if fault is None else [*faults, fault])


def busy(address: str) -> str:
    """What to say of an address that another listens on, or that cannot be listened on."""
    return (
        f"metrics cannot be served on {address}: give this pool an address of its own with "
        f"--metrics HOST:PORT (or CALLBOARD_METRICS), or switch them off with `none`"
    )


def _verdict(reasons: list[str]) -> Answer:
    body = msgspec.json.encode({"ok": not reasons, "reasons": reasons}) + b"\n"
    return Answer(body, status=HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK)
