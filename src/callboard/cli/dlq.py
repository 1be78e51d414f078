"""`callboard dlq`: what ended dead, by what it has in common; replays and discards it."""

import re
from collections.abc import Callable
from itertools import islice
from typing import Annotated

from cyclopts import App, Parameter

from ..actors.dead_letters import DeadFilter, DeadLetters, Mended
from ..actors.mailbox.forgetting import about_to_be_forgotten
from ..messages.errors import ConfigurationError
from .asking import DryRun, Yes, consent, doubt_actor
from .dlq_meant import All, AtMost, Names, Where, check_said, count_meant, meant_in
from .dlq_shown import Listed, counted, drawn_groups, drawn_mended
from .event import Body, Limit, Raw
from .event_shown import asked_for, ended_shown, record_shown
from .event_words import cut_after, drawn_list, drawn_record
from .exits import NotThere
from .how_far import how_far
from .items_shown import MOST_SHOWN, Items
from .place import Place, mailbox_at
from .terminal import AsJson, console, examples, keep_logs_off_stdout, write_json

command = App(
    name="dlq",
    help="List, show, replay or discard dead letters.",
    help_epilogue=examples(
        "callboard dlq list",
        "callboard dlq list --actor send_receipt --error SMTPError --each",
        "callboard dlq show 'send_receipt:A-1#42' --body",
        "callboard dlq replay --error SMTPError --since 2h --dry-run",
        "callboard dlq replay --error SMTPError --since 2h --rate 100/s --yes",
        "callboard dlq discard --reason rejected --until 2030-01-31T12:00Z",
    ),
)


Each = Annotated[bool, Parameter(negative="", show_default=False, help="One by one, not in groups.")]
Rate = Annotated[
    str, Parameter(show_default=False, help="So many a second or minute at most: `100/s`, `30/m`.")
]
To = Annotated[str, Parameter(show_default=False, help="Another actor, which subscribes to what they are.")]


@command.command(name="list")
def list_(
    *,
    where: Where | None = None,
    each: Each = False,
    limit: Limit = 50,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, grouped by actor, reason, error class and fingerprint, the largest group first.

    A fingerprint is the same for errors of a class that came through the same functions. With `--each` the
    latest are listed one by one. No text of an error and no body is shown; `callboard dlq show` has them.

    `--json` is an object: `groups`, `letters` (with `--each`) and `warnings`, of what will soon be
    forgotten; `callboard schema --output 'dlq list'` tells the rest.
    """
    keep_logs_off_stdout()
    settings = (place or Place()).settings()
    with mailbox_at(settings) as mailbox:
        info = mailbox.info()
        meant = meant_in(mailbox, where)
        letters = DeadLetters(mailbox)
        groups = [] if each else letters.groups(meant)
        # One more tells whether there are others.
        ended = [ended_shown(record) for record in islice(letters.each(meant), limit + 1 if each else 0)]
        shown = Listed(
            tuple(groups[:limit]),
            tuple(ended[:limit]),
            tuple(about_to_be_forgotten(info.queues, info.at, settings.dead_letters)),
        )
        if not (groups or ended):
            doubt_actor(mailbox, meant.actor)
    if as_json:
        write_json(shown)
        return
    out = console()
    if not (shown.groups or shown.letters):
        out.print("no dead letters" if where is None else "no dead letters of this")
    elif each:
        out.print(drawn_list(shown.letters))
    else:
        out.print(drawn_groups(shown.groups))
    if max(len(groups), len(ended)) > limit:
        out.print(cut_after(limit), highlight=False)
    for warning in shown.warnings:
        out.print(f"warning: {warning}", highlight=False, soft_wrap=True, markup=False)


@command.command
def show(
    name: Names,
    /,
    *,
    body: Body = False,
    raw: Raw = False,
    items: Items = MOST_SHOWN,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is kept of one dead letter: errors, attempts, worker, contract, items.

    `--json` is an object whose shape `callboard schema --output 'dlq show'` tells.
    """
    keep_logs_off_stdout()
    with mailbox_at((place or Place()).settings()) as mailbox:
        record = mailbox.records.get(name)
        if record is None:
            raise NotThere(
                f"no record is named {name!r}: callboard dlq list --each tells names, "
                "and callboard event show takes the id of an event or of a delivery"
            )
        shown = record_shown(record, mailbox, asked_for(body=body, raw=raw, items=items))
    if as_json:
        write_json(shown)
        return
    for line in drawn_record(shown):
        console().print(line, highlight=False, soft_wrap=True)


@command.command
def replay(
    *names: Names,
    where: Where | None = None,
    to: To = "",
    rate: Rate = "",
    limit: AtMost = None,
    every: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """Make dead letters live again, the ones that died first before the others.

    Each keeps its event's id, its bytes and its causes, and begins with its first attempt and at the age of
    nothing; an older version of a contract goes through the app's upcasters. An ordered delivery joins its
    lane again. What lives again or was completed within its window is left dead and told as `duplicate`.

    It may be ended and run again: nothing is done twice. Where nothing says which are meant, `--yes` wants
    `--all`, too.

    `--json` is an object: `run`, `dry_run`, `matched`, `done`, `already`, `duplicate`, `conflict`,
    `gone` and `paused`, the queues among those they went to that hand out nothing until they are resumed.
    """
    a_second = _rate(rate)

    def mend(letters: DeadLetters, meant: DeadFilter, show: Callable[[int], None]) -> Mended:
        return letters.replay(
            meant, names=names or None, to=to, limit=limit, rate=a_second, dry_run=dry_run, show=show
        )

    _mend(
        "replay",
        mend,
        names,
        where,
        limit,
        every=every,
        dry_run=dry_run,
        yes=yes,
        place=place,
        as_json=as_json,
    )


@command.command
def discard(
    *names: Names,
    where: Where | None = None,
    limit: AtMost = None,
    every: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """Discard dead letters, with the reason `operator`. Their records are kept for as long as before.

    Where nothing says which are meant, `--yes` wants `--all`, too.

    `--json` is the object that `callboard dlq replay` has.
    """

    def mend(letters: DeadLetters, meant: DeadFilter, show: Callable[[int], None]) -> Mended:
        return letters.discard(meant, names=names or None, limit=limit, dry_run=dry_run, show=show)

    _mend(
        "discard",
        mend,
        names,
        where,
        limit,
        every=every,
        dry_run=dry_run,
        yes=yes,
        place=place,
        as_json=as_json,
    )


Mend = Callable[[DeadLetters, DeadFilter, Callable[[int], None]], Mended]


def _mend(
    what: str,
    mend: Mend,
    names: tuple[str, ...],
    where: Where | None,
    limit: int | None,
    *,
    every: bool,
    dry_run: bool,
    yes: bool,
    place: Place | None,
    as_json: bool,
) -> None:
    keep_logs_off_stdout()
    check_said(names, where, every=every, unasked=yes and not dry_run)
    with mailbox_at((place or Place()).settings()) as mailbox:
        meant = meant_in(mailbox, where)
        count = count_meant(mailbox, meant, names, limit)
        if not count:
            doubt_actor(mailbox, meant.actor)
        if not dry_run:
            consent(f"{what.capitalize()} {counted(count)}?", yes=yes or not count)
        with how_far(count) as show:
            mended = mend(DeadLetters(mailbox), meant, show)
    if as_json:
        write_json(mended)
    else:
        console().print(drawn_mended(what, mended), highlight=False, soft_wrap=True)


def _rate(said: str) -> float | None:
    if not said:
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(?:/(s|m|h))?", said)
    if found is None or float(found[1]) == 0:
        raise ConfigurationError(f"--rate takes so many a second, minute or hour, as in 100/s, not {said!r}")
    return float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2] or "s"]
