"""Draws a mailbox while it is watched: a line for each queue, as many figures as there is room for."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..actors.mailbox.infos import MailboxInfo, QueueInfo
from .pace import SHOWN_LOOKS, Course, Pace

BARS = "▁▂▃▄▅▆▇█"

QUEUE_WIDTH = 14
"""Columns that the name of a queue has at least."""

BETWEEN = 2
"""Columns between two figures."""


class Column(msgspec.Struct, frozen=True):
    """One figure of a queue."""

    title: str
    width: int
    tell: Callable[[QueueInfo, Sequence[Pace]], str]
    """From what the queue holds, and how it went lately."""
    style: str = ""
    justify: Literal["left", "right"] = "right"


def trend(values: Sequence[float]) -> str:
    """A bar for each value, the largest the highest."""
    most = max(values, default=0)
    if not most:
        return BARS[0] * len(values)
    return "".join(BARS[round(value / most * (len(BARS) - 1))] for value in values)


def rate(value: float) -> str:
    """A rate as short as it can be told: "0.4", "12", "3,400"."""
    return f"{value:.1f}" if 0 < value < 10 else f"{value:,.0f}"  # noqa: PLR2004 - one digit


def length(milliseconds: int | None) -> str:
    """A length of time as short as it can be told: "3 ms", "2.5 s", "4 m", "3 h", "2 d"."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - one digit


def _held(attribute: str) -> Callable[[QueueInfo, Sequence[Pace]], str]:
    return lambda queue, _: f"{getattr(queue, attribute):,}"


def _paced(tell: Callable[[Pace], str]) -> Callable[[QueueInfo, Sequence[Pace]], str]:
    return lambda _, paces: tell(paces[-1]) if paces else "-"


LINES_AROUND = 5
"""Lines of a picture that are no queue's: heading, titles, what is not shown, and where the cursor is."""

LATELY = "out/s, lately"

COLUMNS = (
    Column("ready", 9, lambda queue, _: f"{queue.ready + queue.suspects:,}", "bold"),
    Column("in/s", 7, _paced(lambda pace: rate(pace.arriving))),
    Column("out/s", 7, _paced(lambda pace: rate(pace.ending)), "green"),
    Column("oldest", 6, _paced(lambda pace: length(pace.oldest_ready_ms))),
    Column("through", 7, _paced(lambda pace: length(pace.through_ms))),
    Column("leased", 7, _held("leased")),
    Column("waiting", 7, _held("waiting")),
    Column("scheduled", 9, _held("scheduled")),
    Column("retry/s", 7, _paced(lambda pace: rate(pace.retrying)), "yellow"),
    Column("dead/s", 6, _paced(lambda pace: rate(pace.dying)), "red"),
    Column("dead", 7, _held("dead"), "red"),
    Column(LATELY, SHOWN_LOOKS, lambda _, paces: trend([pace.ending for pace in paces]), "green", "left"),
)
"""All figures, as they stand from left to right."""

FIRST = ("ready", "out/s", "oldest", "in/s", LATELY, "through", "leased", "dead", "scheduled", "retry/s")
"""Which are shown first where there is not room for all; the others after them."""


def columns_for(width: int) -> list[Column]:
    """The figures that a terminal has room for beside a queue's name."""
    order = sorted(COLUMNS, key=lambda each: FIRST.index(each.title) if each.title in FIRST else len(FIRST))
    left = width - QUEUE_WIDTH
    chosen = []
    for column in order:
        left -= column.width + BETWEEN
        if left < 0:
            break
        chosen.append(column)
    return [column for column in COLUMNS if column in chosen]


def watched(
    course: Course, address: str, width: int, trouble: str = "", height: int | None = None
) -> RenderableType:
    """The picture, of what was seen last; `trouble` says why nothing newer is.

    Where there is no room for the lines of all queues, those are shown that hold most.
    """
    look = course.last
    if look is None:
        return Text(trouble or f"looking at {address} ...")
    parts: list[RenderableType] = [_heading(look.info, address)]
    if look.info.queues:
        room = None if height is None else max(1, height - LINES_AROUND - bool(trouble))
        shown = _fullest(look.info.queues, room)
        parts.append(_table(shown, course, width))
        if hidden := len(look.info.queues) - len(shown):
            parts.append(Text(f"and {hidden} more queues, which hold less: callboard info tells all", "dim"))
    else:
        parts.append(Text("no queues: nothing has been published to an actor yet"))
    if trouble:
        parts.append(Text(trouble, style="bold red"))
    return Group(*parts)


def _fullest(queues: Sequence[QueueInfo], room: int | None) -> Sequence[QueueInfo]:
    """Of queues that there is no room for all those that hold most, in the order in which they stand."""
    if room is None or len(queues) <= room:
        return queues
    ranked = sorted(queues, key=lambda each: (-each.live, -each.dead))
    names = {each.queue for each in ranked[:room]}
    return [each for each in queues if each.queue in names]


def _heading(info: MailboxInfo, address: str) -> Text:
    workers = len(info.workers)
    told = f"{workers} worker{'' if workers == 1 else 's'}" if workers else "no workers"
    heading = Text(no_wrap=True, overflow="ellipsis")
    heading.append(info.workspace, "bold").append(f" at {address} ({info.server}), ")
    return heading.append(told, "green" if workers else "bold red")


def _table(queues: Sequence[QueueInfo], course: Course, width: int) -> Table:
    columns = columns_for(width)
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("queue", min_width=8, max_width=40, no_wrap=True, overflow="ellipsis")
    for column in columns:
        table.add_column(column.title, justify=column.justify, no_wrap=True, min_width=column.width)
    for queue in queues:
        paces = course.of(queue.queue)
        cells = [
            Text(text, _style(column, text)) for column in columns for text in [column.tell(queue, paces)]
        ]
        table.add_row(_name(queue), *cells)
    return table


def _name(queue: QueueInfo) -> Text:
    return Text(queue.queue) if queue.paused is None else Text(f"{queue.queue} (paused)", "yellow")


def _style(column: Column, text: str) -> str:
    return "dim" if text in ("0", "-", "0 ms") else column.style
