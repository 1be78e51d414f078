"""Watches a mailbox: looks at it once a second, until Ctrl-C."""

import sys
import time
from collections.abc import Callable, Iterator

from rich.live import Live

from ..actors.mailbox.redis import RedisMailbox
from ..messages.errors import MailboxUnavailable
from .pace import Course, Look
from .terminal import console, ending_as_with_ctrl_c
from .watched import watched

EVERY = 1.0
"""Seconds between two looks."""


def stream(mailbox: RedisMailbox, write: Callable[[Look, Course], None]) -> None:
    """Hand on each look, and the course that it is part of; raises what the mailbox does."""
    course = Course()
    for _ in ticks():
        look = Look.at(mailbox)
        course.add(look)
        write(look, course)


def draw(mailbox: RedisMailbox, address: str) -> None:
    """Draw what is seen: on a terminal always in the same place, and a server that is away is waited for."""
    out = console()
    if not out.is_terminal:
        stream(mailbox, lambda _, course: out.print(watched(course, address, out.width)))
        return
    course = Course()
    with (
        ending_as_with_ctrl_c(),
        Live(watched(course, address, out.width), console=out, auto_refresh=False) as live,
    ):
        for _ in ticks():
            trouble = ""
            try:
                course.add(Look.at(mailbox))
            except MailboxUnavailable as error:
                trouble = str(error)
            live.update(watched(course, address, out.width, trouble, out.height), refresh=True)


def ticks() -> Iterator[None]:
    """A tick each second, the first at once; a late one does not make those behind it come sooner.

    What was written to stdout is out before the next.
    """
    due = time.monotonic()
    while True:
        yield
        sys.stdout.flush()
        due = max(due + EVERY, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
