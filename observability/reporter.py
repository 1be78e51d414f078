"""The thread of a worker process that tells the pool's exporter once a second what has changed."""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from .cells import Book, Cells
from .report import (
    MOST_BYTES,
    Place,
    Report,
    Vitals,
    counters_of,
    encode_report,
    exemplars_of,
    histograms_of,
    parts_of,
)
from .tracebacks import report

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.metrics")

EVERY = 1.0
"""Seconds between two reports."""

LEAST_BYTES = 1024
"""What every system lets through as one datagram."""

MISSED_AFTER = 10.0
"""Seconds without an exporter after which it is said that it is missed."""

LAST_WORDS = 2.0
"""Seconds that a stopping process tries to get its last numbers out."""


class Reporter:
    """Sends what was recorded since it was sent last. What could not be sent is sent with the next report."""

    def __init__(
        self, cells: Cells, path: Path, *, worker: str, place: Place, vitals: Callable[[], Vitals]
    ) -> None:
        self._cells = cells
        self._path = str(path)
        self._worker = worker
        self._place = place
        self._vitals = vitals
        self._unsent = Book()
        self._most_bytes = MOST_BYTES
        self._missed_since: float | None = None
        self._is_told = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callboard-reporter", daemon=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and get the last numbers out."""
        self._stopping.set()
        self._thread.join()
        give_up_at = time.monotonic() + LAST_WORDS
        while not (is_told := self.report(leaving=True)) and time.monotonic() < give_up_at:
            time.sleep(0.05)
        if not is_told:
            logger.error("what was counted last is lost: the exporter of this pool did not take it")
        self._socket.close()

    def report(self, *, leaving: bool = False) -> bool:
        """Send what there is; False if some of it must wait."""
        self._unsent.merge(self._cells.take())
        parts = list(parts_of(self._unsent, self._most_bytes))
        for position, part in enumerate(parts):
            is_last = position == len(parts) - 1
            if not self._send(part, leaving=leaving and is_last):
                self._unsent = Book()
                for left in parts[position:]:
                    self._unsent.merge(left)
                return False
        self._unsent = Book()
        return True

    def _send(self, part: Book, *, leaving: bool) -> bool:
        report = Report(
            self._worker,
            os.getpid(),
            self._place,
            self._vitals(),
            leaving,
            counters_of(part),
            histograms_of(part),
            exemplars_of(part),
        )
        try:
            self._socket.sendto(encode_report(report), self._path)
        except OSError as error:
            # Nobody is there yet or any more, or it has not read what came before: what is kept adds up.
            if error.errno == errno.EMSGSIZE:
                self._most_bytes = max(LEAST_BYTES, self._most_bytes // 2)
            self._missed(error)
            return False
        self._taken()
        return True

    def _run(self) -> None:
        while True:
            try:
                self.report()
            except Exception as error:  # noqa: BLE001 - as is told here
                report(logger, "metrics could not be reported", error)
            if self._stopping.wait(EVERY):
                return

    def _taken(self) -> None:
        if self._is_told:
            logger.info("the exporter of this pool takes reports again: nothing is lost")
        self._missed_since, self._is_told = None, False

    def _missed(self, error: OSError) -> None:
        """Say once that nobody takes reports; a pool that starts or stops has no exporter for a while."""
        now = time.monotonic()
        if self._missed_since is None:
            self._missed_since = now
        if not self._is_told and now - self._missed_since >= MISSED_AFTER:
            self._is_told = True
            logger.error(
                "metrics are kept and not served: the exporter of this pool is gone or hangs; "
                "if it does not come back, start the pool anew",
                error=error.strerror,
            )
