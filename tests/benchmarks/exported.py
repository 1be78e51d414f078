"""A pool's exporter beside a worker that is measured, and what reports to it."""

import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dramatiq
import structlog

from callboard import Callboard
from callboard.actors.exporting import serve
from callboard.actors.pulse import Pulse
from callboard.observability.rendezvous import socket_path
from callboard.observability.report import Place, Vitals
from callboard.observability.reporter import Reporter

STARTS_WITHIN = ENDS_WITHIN = 20.0
"""Seconds that the exporter may take."""


@contextmanager
def exporter() -> Iterator[None]:
    """Run the exporter of the pool whose main process this one is; it is there when this goes on."""
    process = multiprocessing.get_context("spawn").Process(target=_serve)
    process.start()
    try:
        give_up_at = time.monotonic() + STARTS_WITHIN
        while not socket_path(os.getpid()).exists():
            if time.monotonic() > give_up_at:
                raise RuntimeError("the exporter does not start; what it says of it stands above")
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.join(ENDS_WITHIN)
        if process.exitcode is None:
            process.kill()
            process.join()


def _serve() -> None:
    leave_output_alone()
    serve()


def leave_output_alone() -> None:
    """Let logs be warnings on stderr: the answers of the process have the output for themselves."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@contextmanager
def reporting(app: Callboard, worker: dramatiq.Worker) -> Iterator[None]:
    """Let a worker of this process report to that exporter, as `Exporting` does in a pool."""

    pulses: list[Pulse] = []

    def vitals() -> Vitals:
        process = app.broker.worker
        if process is not None and not pulses:
            pulses.append(Pulse(process, worker))
        return pulses[0].take() if pulses else Vitals()

    settings = app.settings
    assert settings.metrics is not None
    place = Place(settings.metrics, is_default=False, workspace=settings.workspace, url=settings.url)
    reporter = Reporter(
        app.metrics.cells, socket_path(os.getpid()), worker="bench", place=place, vitals=vitals
    )
    reporter.start()
    try:
        yield
    finally:
        reporter.stop()
