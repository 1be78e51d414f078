"""`callboard schedule`: what is due later, and cancelling or moving what has not begun."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Annotated

import msgspec
from cyclopts import App, Parameter, validators
from rich.markup import escape

from ..actors.mailbox.mailbox import Mailbox
from ..actors.mailbox.schedule import Became, Changed, Scheduled
from ..messages.delivery import storable
from ..messages.errors import ConfigurationError
from ..messages.timing import After
from .asking import By, DryRun, Yes, consent, doubt_actor, known_queues, who
from .exits import ExitCode
from .place import Place, mailbox_at
from .publishing import read_when
from .tables import table
from .terminal import AsJson, console, examples, keep_logs_off_stdout, shown_wait, write_json

Ids = Annotated[str, Parameter(name="ID", help="The id of an event, or of a delivery (`actor:key`).")]

command = App(
    name="schedule",
    help="List what is due later; cancel or move what has not begun.",
    help_epilogue=examples(
        "callboard schedule list --queue payments --before '1 hour'",
        "callboard schedule list --json | jq -r '.[].id'",
        "callboard schedule cancel 0198c0de-7f00-7000-8000-000000000001 --dry-run",
        "callboard schedule move send_receipt:A-1 --after '2 days'",
    ),
)


UNKNOWN = " (not waiting, nor remembered: callboard schedule list tells the ids of what is due later)"


class Due(msgspec.Struct, frozen=True):
    """One delivery that is due later."""

    id: str
    queue: str
    actor: str
    due_at: int
    """Epoch milliseconds."""
    attempts: int
    """Attempts that were charged: a delivery with some waits for its retry."""


class Change(msgspec.Struct, frozen=True):
    """What became of one delivery, or would."""

    id: str
    actor: str
    became: str
    dry_run: bool


Listed = list[Due]
Changes = list[Change]


@command.command(name="list")
def listing(
    *,
    queue: Annotated[
        list[str] | None, Parameter(negative="", help="Only this queue; repeatable [default: all].")
    ] = None,
    actor: Annotated[str | None, Parameter(help="Only this actor's.")] = None,
    before: Annotated[
        str | None, Parameter(help="Only what is due before: `1 hour` from now, or an ISO 8601 time.")
    ] = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1), help="How many at most.")] = 100,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """List what is due later, the soonest first: delayed events, and retries that wait for their time.

    `--json` is a list of objects: `id`, `queue`, `actor`, `due_at` (epoch ms) and `attempts` (those that were
    charged: with some it is a retry).
    """
    keep_logs_off_stdout()
    until = None if before is None else read_when(before, "--before")
    with mailbox_at((place or Place()).settings()) as mailbox:
        names = known_queues(mailbox, tuple(queue or ()))
        info = mailbox.info()
        end = None if until is None else until.due_at or info.at + until.delay_ms
        due = list(islice(_filtered(mailbox.schedule.soonest(names), actor, end), limit))
        if not due:
            doubt_actor(mailbox, actor)
    if as_json:
        write_json([Due(each.id, each.queue, each.actor, each.due_at, each.attempts) for each in due])
        return
    total = sum(each.scheduled for each in info.queues if each.queue in names)
    _show(due, info.at, total)


@command.command
def cancel(
    *ids: Ids,
    reason: Annotated[str, Parameter(show_default=False, help="Why, for the record.")] = "",
    by: By = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    place: Place | None = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Cancel what has not begun of events, or single deliveries: it ends as discarded, with a record.

    What is scheduled can be cancelled, a retry that waits, and what is ready or waits in a lane. What is
    `running` cannot, and goes on. Exit code 1 if anything that was named is not cancelled.

    `--json` is a list of objects: `id`, `actor`, `became` (`cancelled`, `running`, `done`, `unknown`) and
    `dry_run`.
    """
    keep_logs_off_stdout()
    _need(ids, "callboard schedule cancel ID")
    detail = storable(f"by {who(by)}: {reason}" if reason else f"by {who(by)}")
    with mailbox_at((place or Place()).settings()) as mailbox:
        expected = _expected(mailbox, ids, Became.CANCELLED)
        if dry_run:
            return _tell(expected, Became.CANCELLED, as_json=as_json, dry_run=True)
        count = sum(each.became is Became.CANCELLED for each in expected)
        consent(f"Cancel {count:,} of {len(expected):,} deliveries for good?", yes=yes or not count)
        changed = [each for known in ids for each in mailbox.schedule.cancel(known, detail)]
    return _tell(changed, Became.CANCELLED, as_json=as_json)


@command.command
def move(
    *ids: Ids,
    after: Annotated[
        str | None, Parameter(help="When it is due: `5 minutes` from now, or an ISO 8601 time.")
    ] = None,
    now: Annotated[bool, Parameter(negative="", show_default=False, help="It is due at once.")] = False,
    dry_run: DryRun = False,
    place: Place | None = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Let what has not begun of events, or single deliveries, begin at another time, a year ahead at most.

    What was not tried yet counts its age from the new time on; a retry goes on counting. What is `running`
    cannot be moved. Exit code 1 if anything that was named is not moved.

    `--json` is a list of objects: `id`, `actor`, `became` (`moved`, `running`, `cancelled`, `done`,
    `unknown`) and `dry_run`.
    """
    keep_logs_off_stdout()
    _need(ids, "callboard schedule move ID --after '5 minutes'")
    if (after is None) == (not now):
        raise ConfigurationError("say when: --after '5 minutes', or --now")
    due = After(delay_ms=1) if after is None else read_when(after, "--after")
    with mailbox_at((place or Place()).settings()) as mailbox:
        if dry_run:
            return _tell(_expected(mailbox, ids, Became.MOVED), Became.MOVED, as_json=as_json, dry_run=True)
        changed = [each for known in ids for each in mailbox.schedule.move(known, due)]
    return _tell(changed, Became.MOVED, as_json=as_json)


def _filtered(due: Iterable[Scheduled], actor: str | None, end: int | None) -> Iterable[Scheduled]:
    soon = due if end is None else takewhile(lambda each: each.due_at < end, due)
    return soon if actor is None else (each for each in soon if each.actor == actor)


def _expected(mailbox: Mailbox, ids: Sequence[str], wanted: Became) -> list[Changed]:
    return [each for known in ids for each in mailbox.schedule.foresee(known, wanted)]


def _need(ids: Sequence[str], usage: str) -> None:
    if not ids:
        raise ConfigurationError(f"name an event or a delivery: {usage}")


def _show(due: Sequence[Scheduled], now: int, total: int) -> None:
    out = console()
    if due:
        out.print(
            table(
                ("due", "in", "queue", "delivery", "attempts"),
                [_row(each, now) for each in due],
                texts=4,
            )
        )
    out.print(f"{len(due):,} of {total:,} scheduled", highlight=False)


def _row(each: Scheduled, now: int) -> list[object]:
    wait = shown_wait(each.due_at - now)
    return [_moment(each.due_at), wait, each.queue, escape(each.id), each.attempts]


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _tell(changed: Sequence[Changed], wanted: Became, *, as_json: bool, dry_run: bool = False) -> ExitCode:
    if as_json:
        write_json([Change(each.id, each.actor, each.became.value, dry_run) for each in changed])
    else:
        for each in changed:
            would = "would be " if dry_run and each.became is wanted else ""
            hint = UNKNOWN if each.became is Became.UNKNOWN else ""
            line = f"{each.id}: {would}{each.became}{hint}"
            console().print(line, highlight=False, markup=False, soft_wrap=True)
    return ExitCode.OK if all(each.became is wanted for each in changed) else ExitCode.FAILED
