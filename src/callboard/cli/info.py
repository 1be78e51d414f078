"""`callboard info`: what a mailbox holds and what it has done."""

from collections.abc import Iterator
from typing import Any

import msgspec
from cyclopts import App
from rich.console import RenderableType

from ..actors.mailbox.mailbox import MailboxInfo
from .place import Place, address_of, mailbox_at
from .terminal import AsJson, console, examples, keep_logs_off_stdout, shown_age, table, write_json

COLUMNS = (
    "ready",
    "leased",
    "scheduled",
    "suspects",
    "succeeded",
    "retried",
    "dead",
    "discarded",
    "duplicates",
    "takeovers",
)
"""The figures of a queue that the table shows; `--json` has all of them."""

command = App(
    name="info",
    help_epilogue=examples(
        "callboard info",
        "callboard info --url redis://localhost:6379 --workspace production",
        "callboard info --json | jq '.queues[] | {queue, ready, dead}'",
    ),
)


@command.default
def info(*, place: Place | None = None, as_json: AsJson = False) -> None:
    """Show what a mailbox holds and what it has done. Needs no app, and makes no mailbox.

    `--json` is an object with `workspace`, `place`, `server`, `at` (epoch ms), `queues` (a list of
    objects: `queue`, `ready`, `leased`, `scheduled`, `suspects`, `accepted`, `succeeded`, `dead`,
    `discarded`, `duplicates`, `retried`, `released`, `takeovers`, `fenced`), `workers` (`owner`,
    `seen_at`) and `unrouted` (events nobody subscribed to, by contract).
    """
    keep_logs_off_stdout()
    settings = (place or Place()).settings()
    with mailbox_at(settings) as mailbox:
        state = mailbox.info()
    if as_json:
        write_json(as_plain(state, address_of(settings)))
        return
    out = console()
    for part in drawn(state, address_of(settings)):
        out.print(part)


def as_plain(info: MailboxInfo, address: str) -> dict[str, Any]:
    """The shape that `--json` promises."""
    plain: dict[str, Any] = msgspec.to_builtins(info)
    return {"place": address, **plain}


def drawn(info: MailboxInfo, address: str) -> Iterator[RenderableType]:
    """The parts of the page, from top to bottom."""
    yield f"workspace [bold]{info.workspace}[/bold] at {address} ({info.server})"
    if info.queues:
        rows = [[queue.queue, *(getattr(queue, column) for column in COLUMNS)] for queue in info.queues]
        yield table(("queue", *COLUMNS), rows)
    else:
        yield "no queues: nothing has been published to an actor yet"
    if info.workers:
        yield table(
            ("worker", "seen"),
            [(worker.owner, shown_age(info.at - worker.seen_at)) for worker in info.workers],
        )
    else:
        yield "no workers: start one with callboard run"
    if info.unrouted:
        yield table(("nobody subscribed to", "events"), sorted(info.unrouted.items()))
