"""`callboard info`: what a mailbox holds and what it has done."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated

from cyclopts import App, Parameter
from msgspec import structs
from rich.console import RenderableType
from rich.markup import escape

from ..actors.mailbox.forgetting import about_to_be_forgotten
from ..actors.mailbox.infos import Holder, LaneInfo, MailboxInfo, Pause, QueueInfo
from .pace import Course, Look, Pace
from .place import Place, address_of, mailbox_at
from .tables import table
from .terminal import AsJson, console, examples, keep_logs_off_stdout, shown_age, write_json
from .watching import draw, stream

COLUMNS = (
    "ready",
    "waiting",
    "leased",
    "scheduled",
    "suspects",
    "succeeded",
    "duplicate",
    "retried",
    "dead",
    "discarded",
    "duplicates",
    "takeovers",
)
"""The figures of a queue that the table shows; `--json` has all of them."""

HEADINGS = {"duplicates": "published again"}
"""What stands over a column whose name would not tell it from another's."""

LANE_COLUMNS = ("queue", "lane", "held by", "limit", "held", "waiting")
"""What the table of lanes shows: ordered ones, and actors with a limit."""

command = App(
    name="info",
    help_epilogue=examples(
        "callboard info",
        "callboard info --url redis://localhost:6379 --workspace production",
        "callboard info --watch",
        "callboard info --json | jq '.queues[] | {queue, ready, dead}'",
        "callboard info --json --watch | jq -c '.pace[]? | {queue, ending}'",
    ),
)


class Shown(MailboxInfo, frozen=True, kw_only=True):
    """What `--json` prints."""

    place: str
    """Where the mailbox is: a directory, or a URL without a secret."""
    pace: tuple[Pace, ...] | None = None
    """How fast each queue went since the line before; null without `--watch`, and in its first line."""


@command.default
def info(
    *,
    place: Place | None = None,
    watch: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Look once a second, with rates, until Ctrl-C."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a mailbox holds and what it has done. Needs no app, and makes no mailbox.

    `--json` is an object with `workspace`, `place`, `server`, `at` (epoch ms), `queues` (a list of objects:
    `queue`, `ready`, `waiting`, `leased`, `scheduled`, `suspects`, `accepted`, `succeeded`, `duplicate`,
    `dead`, `discarded`, `duplicates`, `retried`, `released`, `takeovers`, `replayed`, `fenced`,
    `dead_letters` (those that are kept: `count`, `oldest_at`, `next_forgotten_at` and `next_at`, when that
    one died; 0 for none), `paused` (null, or `at`, `by` and `reason`), and `lanes`, the fullest ten:
    `lane`, `ordered`, `limit`, `waiting`, `held`, and of those `holders`, at most ten of `id` and `owner`),
    `workers` (`owner`, `seen_at`, `version`), `unrouted` (events nobody subscribed to, by contract) and
    `pace`. With `--watch` it is such an object a second, each on a line of its own, and `pace` is a list
    of objects: `queue`; `arriving`, `ending`, `retrying` and `dying`, deliveries a second since the line
    before; `oldest_ready_ms`, how long the oldest that is ready has been due; `through_ms`, how long a
    delivery takes from when it is due to its end, at this pace, or null while none ends.
    """
    keep_logs_off_stdout()
    settings = (place or Place()).settings()
    address = address_of(settings)
    with mailbox_at(settings) as mailbox:
        if not watch:
            state = mailbox.info()
        elif as_json:
            stream(mailbox, lambda look, course: _write_line(look, course, address))
            return
        else:
            draw(mailbox, address)
            return
    if as_json:
        write_json(_shown(state, address))
        return
    out = console()
    for part in drawn(state, address):
        out.print(part)
    for warning in about_to_be_forgotten(state.queues, state.at, settings.dead_letters):
        out.print(f"warning: {warning}", highlight=False, soft_wrap=True, markup=False)


def _write_line(look: Look, course: Course, address: str) -> None:
    write_json(_shown(look.info, address, course.pace), indent=False)


def _shown(state: MailboxInfo, address: str, pace: tuple[Pace, ...] | None = None) -> Shown:
    return Shown(place=address, pace=pace, **structs.asdict(state))


def drawn(info: MailboxInfo, address: str) -> Iterator[RenderableType]:
    """The parts of the page, from top to bottom."""
    yield f"workspace [bold]{info.workspace}[/bold] at {address} ({info.server})"
    if info.queues:
        rows = [[queue.queue, *(getattr(queue, column) for column in COLUMNS)] for queue in info.queues]
        yield table(("queue", *(HEADINGS.get(column, column) for column in COLUMNS)), rows)
    else:
        yield "no queues: nothing has been published to an actor yet"
    if letters := [_letters_row(queue, info.at) for queue in info.queues if queue.dead_letters.count]:
        yield table(("dead letters of", "oldest", "next forgotten in", "kept"), letters, texts=3)
    if paused := [_pause_row(queue.queue, queue.paused, info.at) for queue in info.queues if queue.paused]:
        yield table(("paused", "since", "by", "because"), paused, texts=4)
    lanes = [_lane_row(queue.queue, lane) for queue in info.queues for lane in queue.lanes]
    if lanes:
        yield table(LANE_COLUMNS, lanes, texts=3)
    if info.workers:
        yield table(
            ("worker", "version", "seen"),
            [
                (worker.owner, worker.version or "-", shown_age(info.at - worker.seen_at))
                for worker in info.workers
            ],
            texts=2,
        )
    else:
        yield "no workers: start one with callboard run"
    if info.unrouted:
        yield table(("nobody subscribed to", "events"), sorted(info.unrouted.items()))


def _letters_row(queue: QueueInfo, now: int) -> list[object]:
    letters = queue.dead_letters
    left = timedelta(seconds=max(0, letters.next_forgotten_at - now) // 1000)
    return [queue.queue, shown_age(now - letters.oldest_at), left, letters.count]


def _pause_row(queue: str, pause: Pause, now: int) -> list[object]:
    return [queue, shown_age(now - pause.at), escape(pause.by or "-"), escape(pause.reason or "-")]


def _lane_row(queue: str, lane: LaneInfo) -> list[object]:
    limit = "-" if lane.limit is None else "in order" if lane.ordered else lane.limit
    return [queue, escape(lane.lane), escape(_held_by(lane.holders)), limit, lane.held, lane.waiting]


def _held_by(holders: Sequence[Holder]) -> str:
    """The workers that others wait for, or what is held by none."""
    owners = sorted({holder.owner for holder in holders if holder.owner})
    idle = [holder.id for holder in holders if not holder.owner]
    return ", ".join([*owners, *(f"{each} (not leased)" for each in idle)])
