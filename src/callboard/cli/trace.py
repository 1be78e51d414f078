"""`callboard trace`: what came of an event, down to the last delivery."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from rich.markup import escape

from ..actors.lineage import DeliveryTold, EventTold, Lineage, lineage_of
from ..messages.delivery import ErrorRecord
from .exits import NotThere
from .place import Place, mailbox_at
from .terminal import AsJson, console, examples, keep_logs_off_stdout, write_json

DEEPEST_INDENT = 20
"""What came of more events than this stands no further to the right."""

Shown = Lineage

STYLES = {"succeeded": "green", "dead": "red", "discarded": "yellow", "leased": "cyan"}

command = App(
    name="trace",
    help_epilogue=examples(
        "callboard trace 01932f2e-5d3c-7c44-9d3a-0f1a2b3c4d5e",
        "callboard trace send_receipt:A-17",
        "callboard trace 01932f2e-5d3c-7c44-9d3a-0f1a2b3c4d5e --json | jq '.events[] | {name, deliveries}'",
    ),
)


@command.default
def trace(
    identity: Annotated[
        str, Parameter(name="ID", help="An event's id, a delivery's (`actor:key`), or a correlation id.")
    ],
    /,
    *,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """Show all that one cause brought about: every event, every delivery, its outcome, times and errors.

    What came of what is remembered as long as the deliveries are: for the dedup window of their contracts,
    and for as long as the record of what is dead. No bodies are shown.

    `--json` is an object: `correlation_id`, `is_whole`, and `events`, each before what came of it: `id`,
    `name`, `causation_id`, `depth`, `published_at` (epoch ms) and `deliveries` (`actor`, `queue`, `state`,
    `reason`, `detail`, `attempts`, `accepted_at`, `due_at`, `ended_at`, `ended_within_ms`, `until`,
    `first_error` and `last_error`, each `type`, `message`, `at` and `origin`). Exit code 1 if nothing is
    known of it.
    """
    keep_logs_off_stdout()
    with mailbox_at((place or Place()).settings()) as mailbox:
        found = lineage_of(mailbox, identity)
    if found is None:
        raise NotThere(f"nothing is known of {identity!r}: it may be longer ago than its contract's window")
    if as_json:
        write_json(found)
        return
    out = console()
    for line in drawn(found):
        out.print(line, highlight=False, soft_wrap=True)


def drawn(found: Lineage) -> Iterator[str]:
    """The lines of the tree."""
    yield f"correlation [bold]{escape(found.correlation_id)}[/bold]"
    for event in found.events:
        margin = "  " * min(event.depth, DEEPEST_INDENT)
        yield f"{margin}{_event(event)}"
        if not event.deliveries:
            yield f"{margin}  nobody subscribed, or it is not remembered any more"
        for delivery in event.deliveries:
            for line in _delivery(delivery):
                yield f"{margin}  {line}"
    if not found.is_whole:
        yield f"... and more: only {len(found.events):,} events are shown"


def _event(event: EventTold) -> str:
    name = escape(event.name or "(its name is not remembered)")
    return f"[bold]{name}[/bold] {escape(event.id)} [dim]{_moment(event.published_at)}[/dim]"


def _delivery(told: DeliveryTold) -> Iterator[str]:
    style = STYLES.get(told.state, "default")
    parts = [f"[{style}]{told.state}[/{style}]"]
    parts += [f"({told.reason})"] if told.reason else []
    parts += [f"after {told.attempts} attempt{'s' * (told.attempts != 1)}"] if told.attempts else []
    parts += [_end(told)] if told.ended_at else []
    parts += [f"until {_moment(told.until)}"] if told.until else []
    yield f"{told.actor}: {' '.join(parts)}"
    if told.detail:
        yield f"  {escape(told.detail)}"
    first, last = told.first_error, told.last_error
    if first is not None and last is not None and first.at != last.at:
        yield f"  first {_error(first)}"
    if last is not None:
        yield f"  {'last ' * (first is not None and first.at != last.at)}{_error(last)}"


def _end(told: DeliveryTold) -> str:
    moment = _moment(told.ended_at)
    return f"at about {moment.partition('.')[0]}" if told.ended_within_ms else f"at {moment}"


def _error(error: ErrorRecord) -> str:
    return f"[red]{escape(error.type)}[/red]: {escape(error.message)} [dim]{_moment(error.at)}[/dim]"


def _moment(at: int | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"
