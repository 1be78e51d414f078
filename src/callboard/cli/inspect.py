"""`callboard inspect`: what runs now, for longer than a moment, and where."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from ..actors.mailbox.mailbox import Mailbox
from ..actors.mailbox.running import RunningAttempt, WorkerReport
from ..messages.items import ItemCounts
from .place import Place, mailbox_at
from .tables import table
from .terminal import AsJson, console, examples, keep_logs_off_stdout, shown_wait, write_json
from .watching import ticks

COLUMNS = ("worker", "pid", "thread", "queue", "delivery", "items", "attempt", "elapsed", "left")

command = App(
    name="inspect",
    help_epilogue=examples(
        "callboard inspect",
        "callboard inspect --watch",
        "callboard inspect --json | jq '.running[] | select(.stuck)'",
    ),
)


class Attempt(msgspec.Struct, frozen=True):
    """One attempt that has been running for a while."""

    worker: str
    """The worker process, by its name in `callboard info`."""
    host: str
    pid: int
    thread: str
    queue: str
    actor: str
    delivery: str
    """`actor:key`; of a batch the first one."""
    event: str | None
    """The contract's name, if it is known."""
    together: int
    """Deliveries that the same call of the handler is for."""
    attempt: int
    elapsed_ms: int
    left_ms: int | None
    """Until its timeout, 0 if that is over; null if there is none."""
    items: ItemCounts | None
    stuck: bool


class Shown(msgspec.Struct, frozen=True):
    """What runs now."""

    running: tuple[Attempt, ...]
    """What has been running longest comes first."""
    more: int
    """Attempts that workers did not tell of one by one."""
    leased: int
    """Deliveries that workers have, those that run for a moment or are about to as well."""


@command.default
def inspect(
    *,
    watch: Annotated[
        bool, Parameter(negative="", show_default=False, help="Look again each second, until Ctrl-C.")
    ] = False,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """Show what has been running for longer than a second: where, since when, and how long it still may.

    Workers tell of it about once a second, and of nothing that is shorter. What a worker that was killed has
    told is forgotten after 5 seconds.

    `--json` is an object: `running` (a list of `worker`, `host`, `pid`, `thread`, `queue`, `actor`,
    `delivery`, `event`, `together`, `attempt`, `elapsed_ms`, `left_ms`, `items` and `stuck`, the longest
    first), `more` and `leased`; with `--watch` one on a line each second.
    """
    keep_logs_off_stdout()
    with mailbox_at((place or Place()).settings()) as mailbox:
        if not watch:
            _print(look(mailbox), as_json=as_json)
        elif as_json or not console().is_terminal:
            for _ in ticks():
                _print(look(mailbox), as_json=as_json, indent=False)
        else:
            with Live(console=console(), auto_refresh=False, screen=False) as live:
                for _ in ticks():
                    live.update(Group(*drawn(look(mailbox))), refresh=True)


def look(mailbox: Mailbox) -> Shown:
    """What runs now, as far as workers have told."""
    reports = mailbox.running.reports()
    running = [_attempt(report, each) for report in reports for each in report.attempts]
    leased = sum(queue.leased for queue in mailbox.info().queues)
    running.sort(key=lambda each: -each.elapsed_ms)
    return Shown(tuple(running), sum(report.more for report in reports), leased)


def _attempt(report: WorkerReport, told: RunningAttempt) -> Attempt:
    host, pid, _ = report.owner.rsplit(":", 2)
    elapsed_ms = told.elapsed_ms + report.ago_ms
    return Attempt(
        worker=report.owner,
        host=host,
        pid=int(pid),
        thread=told.thread,
        queue=told.queue,
        actor=told.actor,
        delivery=told.delivery,
        event=told.event or None,
        together=told.together,
        attempt=told.attempt,
        elapsed_ms=elapsed_ms,
        left_ms=None if told.limit_ms is None else max(0, told.limit_ms - elapsed_ms),
        items=told.items,
        stuck=told.stuck,
    )


def drawn(shown: Shown) -> Iterable[RenderableType]:
    """The parts of the page, from top to bottom."""
    if shown.running:
        yield table(COLUMNS, [_row(each) for each in shown.running], texts=6)
    brief = max(0, shown.leased - sum(each.together for each in shown.running) - shown.more)
    parts = [f"{len(shown.running) + shown.more:,} running for longer than a second"]
    parts += [f"{shown.more:,} of them not shown"] if shown.more else []
    yield ", ".join([*parts, f"{brief:,} more deliveries at workers"])


def _row(each: Attempt) -> Sequence[object]:
    many = f" and {each.together - 1:,} more" if each.together > 1 else ""
    return [
        each.host,
        str(each.pid),
        each.thread,
        each.queue,
        escape(each.delivery) + many,
        _items(each.items),
        each.attempt,
        shown_wait(each.elapsed_ms),
        "stuck" if each.stuck else "-" if each.left_ms is None else shown_wait(each.left_ms),
    ]


def _items(counts: ItemCounts | None) -> str:
    if counts is None:
        return "-"
    done = counts.succeeded + counts.skipped
    failed = f", {counts.failed:,} failed" if counts.failed else ""
    return f"{done:,} of {done + counts.failed + counts.not_done:,} done{failed}"


def _print(shown: Shown, *, as_json: bool, indent: bool = True) -> None:
    if as_json:
        write_json(shown, indent=indent)
        return
    for part in drawn(shown):
        console().print(part, highlight=False)
