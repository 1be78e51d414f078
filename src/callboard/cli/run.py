"""`callboard run`: a pool of dramatiq's worker processes for an app, once it is known that it can work."""

import os
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import structlog
from cyclopts import App, Parameter, validators
from dramatiq import cli as dramatiq

from ..actors.app import Callboard
from ..actors.embedded import EmbeddedServer
from ..actors.mailbox.memory import MemoryMailbox
from ..actors.mailbox.opening import ensure_worker_permitted
from ..actors.settings import RUN_METRICS, Settings, load_settings
from ..messages.errors import ConfigurationError
from ..observability.exporter import busy
from ..observability.listener import is_free
from ..observability.logs import set_up
from ..observability.rendezvous import NoRendezvous, meeting_place
from .check import faults_of
from .exits import ExitCode
from .loading import load_app
from .place import address_of, naming
from .rehearsal import rehearse
from .terminal import examples, keep_logs_off_stdout
from .told import told_by_signal

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.run")

SOURCES = "**/*.py"
"""dramatiq's own pattern, `**.py`, matches no file since watchdog 7."""

FREE_WITHIN = 3.0
"""Seconds that the exporter of a pool that is being reloaded has to end."""

_at_least_one = validators.Number(gte=1)

command = App(
    name="run",
    help_epilogue=examples(
        "callboard run shop:app",
        "callboard run shop:app -p 2 -t 16 -Q orders receipts",
        "callboard run shop:app -p 1 --watch .",
        "callboard run shop:app --metrics 0.0.0.0:9191",
    ),
)


@command.default
def run(
    target: Annotated[str, Parameter(name="APP", help="`module:app`, importable from here.")],
    /,
    *,
    processes: Annotated[
        int | None,
        Parameter(alias="-p", validator=_at_least_one, help="Worker processes [default: one for each CPU]."),
    ] = None,
    threads: Annotated[
        int, Parameter(alias="-t", validator=_at_least_one, help="Worker threads in each process.")
    ] = 8,
    queues: Annotated[
        list[str] | None,
        Parameter(alias="-Q", negative="", consume_multiple=True, help="Only these queues [default: all]."),
    ] = None,
    watch: Annotated[
        Path | None,
        Parameter(
            validator=validators.Path(exists=True, file_okay=False),
            help="Reload when a source file in this directory changes; for development.",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        Parameter(
            help="Serve metrics and health on HOST:PORT, or `none` [default: what the app's settings say]."
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        Parameter(help="From which level on lines are written (CALLBOARD_LOG_LEVEL, else `info`)."),
    ] = None,
    force: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Start on a server that may lose events, too."),
    ] = False,
) -> int:
    """Start a worker pool for an app.

    The app and its mailbox are looked at first, and whatever is wrong with them is told at once. A server
    that would lose events stops the start (`callboard doctor` tells more); with `--force` that is logged as
    an error instead. So does an address for metrics that another has, if the settings or `--metrics` name
    it; the default one, 127.0.0.1:9191, is the first pool's on a machine, and another pool says that it
    serves none.
    Logs go to stderr: JSON, or in colour on a terminal; with `debug` a line for each success as well.
    Ctrl-C or SIGTERM ends the pool when the handlers that run have ended; a second one at once (exit
    code 1). When a worker process dies or is told to end, the whole pool ends with exit code 1: let a
    supervisor start it anew.
    """
    if metrics is not None:
        os.environ[RUN_METRICS] = metrics
    if force:
        os.environ["CALLBOARD_FORCE"] = "true"
    _set_up_logs(log_level)
    # Held from here on: the server must neither end before the first worker comes nor between two.
    rehearse(lambda: examine(target, queues or ()), lambda home: EmbeddedServer(home).open())
    arguments = [f"{target}.broker", "--processes", str(processes or _cpus()), "--threads", str(threads)]
    arguments += ["--queues", *queues] if queues else []
    arguments += ["--skip-logging"]
    arguments += ["--watch", str(watch), "--watch-include", SOURCES] if watch else []
    _come_back_as_this_command()
    with told_by_signal() as was_told:
        code = dramatiq.main(dramatiq.make_argument_parser().parse_args(arguments))
        # A worker that was told to end by itself, as by a guard of the machine's memory, ends well and takes
        # its pool along, which nobody told to.
        return _exit_code(code) if code or was_told() else ExitCode.FAILED


def _set_up_logs(level: str | None) -> None:
    """Set the logs up for this process and its workers, which are forked off it."""
    settings = load_settings(log_level=level)
    if level is not None:
        os.environ["CALLBOARD_LOG_LEVEL"] = level
    set_up(settings.log_level)


def examine(target: str, queues: Sequence[str]) -> Path | None:
    """Look at an app and its mailbox as a worker would; the home of its embedded server, if it uses one.

    Raises `ConfigurationError` with all faults of the app, or what opening the mailbox raises.
    """
    keep_logs_off_stdout()
    app = load_app(target)
    if faults := [*faults_of(app), *_queue_faults(app, queues)]:
        raise ConfigurationError([f"{target}: {fault}" for fault in faults])
    with naming(app.settings):
        mailbox = app.mailbox
        ensure_worker_permitted(mailbox, app.settings)
        mailbox.routes()
    if isinstance(mailbox, MemoryMailbox):
        raise ConfigurationError(
            f"{target}: worker processes cannot share its MemoryMailbox: leave mailbox= out"
        )
    _check_metrics(app.settings)
    _tell_what_starts(target, app, queues)
    uses_embedded = app.settings.url is None and EmbeddedServer(app.settings.home).running()
    return app.settings.home if uses_embedded else None


def _tell_what_starts(target: str, app: Callboard, queues: Sequence[str]) -> None:
    """What a pool works on: whoever publishes to another place or workspace finds the difference here."""
    logger.info(
        "a worker pool starts",
        app=target,
        mailbox=address_of(app.settings),
        workspace=app.settings.workspace,
        queues=sorted(queues or app.broker.get_declared_queues()),
    )


def _check_metrics(settings: Settings) -> None:
    """Raise `ConfigurationError` where metrics that somebody asked for cannot be served.

    Either the pool's processes have no place to meet, or another has the address and does not leave it soon,
    as in a reload.
    """
    if settings.metrics is None or settings.is_metrics_default:
        return
    try:
        meeting_place()
    except NoRendezvous as error:
        fault = f"metrics cannot be served: {error}; or switch them off with `none`"
        raise ConfigurationError(fault) from error
    give_up_at = time.monotonic() + FREE_WITHIN
    while not is_free(settings.metrics):
        if time.monotonic() > give_up_at:
            raise ConfigurationError([busy(settings.metrics)])
        time.sleep(0.1)


def _queue_faults(app: Callboard, queues: Sequence[str]) -> list[str]:
    known = sorted(app.broker.get_declared_queues())
    if not known:
        return ["it has no actors: import the modules that declare them where the app is made"]
    faults = []
    for queue in queues:
        if queue not in known:
            near = get_close_matches(queue, known, n=1)
            mend = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            faults.append(f"no actor has the queue {queue!r}: {mend}")
    return faults


def _cpus() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _come_back_as_this_command() -> None:
    """Let a reload find the command again: dramatiq executes `sys.argv` as it stands."""
    if Path(sys.argv[0]).name == "__main__.py":
        sys.argv[:1] = [sys.executable, "-m", "callboard"]


def _exit_code(code: int) -> ExitCode:
    """Ours for dramatiq's: its 2 is an app that does not import, its 3 a broker it cannot reach."""
    known = (ExitCode.OK, ExitCode.USAGE, ExitCode.UNREACHABLE)
    return ExitCode(code) if code in known else ExitCode.FAILED
