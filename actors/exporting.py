"""A worker process and its pool's exporter: how each finds the other, and what it is told."""

import multiprocessing
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version
from types import FrameType
from typing import TYPE_CHECKING, Any

import dramatiq
import structlog

from ..observability.exporter import Exporter
from ..observability.recorder import Recorder
from ..observability.rendezvous import NoRendezvous, open_socket, pool_id, remove_stale, socket_path
from ..observability.report import Place
from ..observability.reporter import Reporter
from ..observability.state import MailboxState
from .embedded import EmbeddedServer
from .mailbox.redis import RedisMailbox
from .pulse import Pulse
from .settings import Settings

if TYPE_CHECKING:
    from .broker import CallboardBroker

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.exporter")

SERVER_SECONDS = 2.0
"""How long the exporter waits for the server: whoever scrapes it waits, too."""


class Exporting(dramatiq.Middleware):
    """Has dramatiq start an exporter with a pool, and every worker process report to it.

    A worker in a process that no pool has started reports to nobody: register `app.metrics` there.
    """

    def __init__(self, broker: "CallboardBroker", recorder: Recorder, settings: Settings) -> None:
        self._broker = broker
        self._recorder = recorder
        self._settings = settings
        self._reporter: Reporter | None = None

    @property
    def forks(self) -> list[Callable[[], int]]:
        """What a pool runs beside its worker processes."""
        return [serve]

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Report from now on."""
        del broker
        pool, process = pool_id(), self._broker.worker
        if pool is None or process is None or self._settings.metrics is None:
            return
        try:
            path = socket_path(pool)
        except NoRendezvous as error:
            logger.error("metrics cannot be served", error=str(error))  # noqa: TRY400 - no traceback
            return
        self._reporter = Reporter(
            self._recorder.cells,
            path,
            worker=process.owner,
            place=_place(self._settings, self._settings.metrics),
            vitals=Pulse(process, worker).take,
        )
        self._reporter.start()

    def stop(self) -> None:
        """Report what is left, and no more."""
        if self._reporter is not None:
            self._reporter.stop()
            self._reporter = None


def _place(settings: Settings, address: str) -> Place:
    return Place(
        address,
        settings.is_metrics_default,
        settings.workspace,
        settings.url,
        str(settings.home),
        version("callboard"),
    )


def serve() -> int:
    """Be the exporter of the pool that this process belongs to, until the pool is gone."""
    pool, parent = pool_id(), multiprocessing.parent_process()
    if pool is None or parent is None:
        sys.stderr.write("the exporter belongs to a worker pool, which starts it by itself\n")
        return 2
    try:
        path = socket_path(pool)
    except NoRendezvous:
        return 2  # the workers have told it
    remove_stale(path.parent)
    try:
        reports = open_socket(path)
    except NoRendezvous as error:
        # The workers go on: what they do matters more than that it is counted.
        logger.error("metrics cannot be served", error=str(error))  # noqa: TRY400 - no traceback
        return 1
    with reports:
        try:
            exporter = Exporter(reports, open_source=open_source, pool_lives=parent.is_alive)
            _leave_last(exporter)
            exporter.run()
        finally:
            path.unlink(missing_ok=True)
    return 0


def _leave_last(exporter: Exporter) -> None:
    """At the first signal go on until the workers are gone, so that their last numbers are seen; then end."""

    def leave(_signal: int, _frame: FrameType | None) -> None:
        if exporter.leaving:
            sys.exit(0)
        exporter.leaving = True

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, leave)


class _Source:
    """The mailbox of a pool, opened to be looked at; implements `StateSource`."""

    def __init__(self, mailbox: RedisMailbox) -> None:
        self._mailbox = mailbox

    def read(self) -> MailboxState:
        return self._mailbox.gauges.read()

    def close(self) -> None:
        self._mailbox.close()


def open_source(place: Place) -> _Source:
    """The mailbox of a place; raises what opening the embedded server raises."""
    said: dict[str, Any] = {"patience": 0.0, "socket_timeout": SERVER_SECONDS}
    if place.url is not None:
        return _Source(RedisMailbox(place.url, place.workspace, **said))
    server = EmbeddedServer(place.home)
    return _Source(
        RedisMailbox(server.open(), place.workspace, revive=server.open, closing=server.close, **said)
    )
