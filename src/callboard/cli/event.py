"""`callboard event`: where the deliveries of an event stand, and what has ended."""

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

from cyclopts import App, Parameter, validators

from ..actors.mailbox.mailbox import Mailbox
from ..actors.mailbox.records import KINDS, EndedRecord, Span, records_in
from ..messages.delivery import OutcomeKind
from ..messages.errors import ConfigurationError
from .asking import doubt_actor
from .event_shown import EndedShown, EventShown, asked_for, delivery_shown, ended_shown
from .event_words import cut_after, drawn_delivery, drawn_list
from .exits import NotThere
from .items_shown import MOST_SHOWN, Items
from .moments import moment_ms
from .place import Place, mailbox_at
from .terminal import AsJson, console, examples, keep_logs_off_stdout, write_json

Body = Annotated[
    bool,
    Parameter(negative="", show_default=False, help="Show what was published, but for what is sensitive."),
]
Raw = Annotated[bool, Parameter(negative="", show_default=False, help="Show every byte of it, in base64.")]
Actor = Annotated[str, Parameter(show_default=False, help="Those of one actor.")]
Outcome = Annotated[str, Parameter(show_default=False, help="Those that are dead, discarded or succeeded.")]
Since = Annotated[
    str,
    Parameter(show_default=False, help="Ended since: how long ago (`2h`) or a moment (`2030-01-31T12:00Z`)."),
]
Limit = Annotated[int, Parameter(validator=validators.Number(gte=1), help="So many at most.")]

NOT_ALL = (
    "A delivery that succeeded at its first attempt is listed only if it had items, or if its contract says "
    "retention=. `callboard event show ID` finds the others while their dedup window lasts."
)

ListedEvents = list[EndedShown]
"""What `callboard event list` prints."""

command = App(
    name="event",
    help="Show where the deliveries of an event stand, and what has ended.",
    help_epilogue=examples(
        "callboard event show 01976f0e-8a2b-7c3d-9e4f-5a6b7c8d9e0f",
        "callboard event show send_receipt:A-1 --body",
        "callboard event list --outcome dead --since 2h",
        "callboard event list --actor send_receipt --json | jq -r '.[].error'",
    ),
)


@command.command
def show(
    identity: Annotated[str, Parameter(name="ID", help="An event's id, or a delivery's (`actor:key`).")],
    /,
    *,
    body: Body = False,
    raw: Raw = False,
    items: Items = MOST_SHOWN,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """Show every actor's delivery of an event: where it stands, when it succeeded, how it ended.

    An id is a receipt's or a log line's. A delivery that succeeded at the first attempt tells about when;
    others tell their attempts, times, errors and items, for as long as their records are kept. What was
    published is shown with `--body` or `--raw` alone. Items are counted, and 100 of a delivery are told,
    or as many as `--items` says: those that failed first.

    `--json` is an object: `id`, `at` and `deliveries`, whose shape `callboard schema --output 'event show'`
    tells.
    """
    keep_logs_off_stdout()
    asked = asked_for(body=body, raw=raw, items=items)
    with mailbox_at((place or Place()).settings()) as mailbox:
        found = mailbox.records.find(identity)
        if not found:
            raise NotThere(
                f"nothing is known of {identity}: it was never accepted here, or its window and its records "
                "are over; a delivery is named actor:key"
            )
        deliveries = tuple(delivery_shown(each, mailbox, asked) for each in found)
        shown = EventShown(identity, mailbox.info().at, deliveries)
    if as_json:
        write_json(shown)
        return
    for each in shown.deliveries:
        for line in drawn_delivery(each):
            console().print(line, highlight=False, soft_wrap=True)


@command.command(name="list")
def list_(
    *,
    actor: Actor = "",
    outcome: Outcome = "",
    since: Since = "",
    limit: Limit = 50,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """List deliveries that have ended and of which a record is kept, the latest first.

    That is all that are dead or were discarded, and those that succeeded after an earlier attempt, with
    items, or whose contract says `retention=`.

    `--json` is a list of objects: `name`, `delivery`, `actor`, `queue`, `outcome`, `reason`, `attempts`,
    `ended_at` (epoch ms), `event`, `contract`, `error` (the class of the last one) and `fingerprint`.
    """
    keep_logs_off_stdout()
    kinds = _kinds(outcome)
    with mailbox_at((place or Place()).settings()) as mailbox:
        start = moment_ms(since, mailbox.info().at, option="--since") if since else 0
        # One more tells whether there are others.
        found = [ended_shown(each) for each in islice(_latest(mailbox, kinds, actor, start), limit + 1)]
        if not found:
            doubt_actor(mailbox, actor)
    shown = found[:limit]
    if as_json:
        write_json(shown)
        return
    out = console()
    out.print(drawn_list(shown) if shown else "no records of this")
    if len(found) > limit:
        out.print(cut_after(limit), highlight=False)
    if OutcomeKind.SUCCEEDED in kinds:
        out.print(NOT_ALL, highlight=False)


def _kinds(outcome: str) -> tuple[OutcomeKind, ...]:
    if not outcome:
        return KINDS
    if outcome not in KINDS:
        raise ConfigurationError(f"--outcome takes {', '.join(KINDS)}, but is {outcome!r}")
    return (OutcomeKind(outcome),)


def _latest(
    mailbox: Mailbox, kinds: tuple[OutcomeKind, ...], actor: str, since: int
) -> Iterator[EndedRecord]:
    """What has ended in all queues, the latest first, in flat memory."""
    queues = [queue.queue for queue in mailbox.info().queues]
    spans = [Span(queue, kind, actor, since) for queue in queues for kind in kinds]
    each = [records_in(mailbox.records, span, a_page=100) for span in spans]
    return heapq.merge(*each, key=lambda record: record.at, reverse=True)
