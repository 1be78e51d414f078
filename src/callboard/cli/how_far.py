"""How far a command has come with many dead letters, while it goes on and when it is ended in its middle."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from ..messages.errors import CallboardError
from .exits import complain
from .terminal import console


@contextmanager
def how_far(total: int) -> Iterator[Callable[[int], None]]:
    """Takes how many of so many are dealt with: shows it on a terminal, and tells it where it ends early."""
    out = console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    dealt_with = 0
    try:
        with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
            task = bar.add_task("", total=max(1, total))

            def show(count: int) -> None:
                nonlocal dealt_with
                dealt_with = count
                bar.update(task, completed=count)

            yield show
    except (KeyboardInterrupt, CallboardError):
        if dealt_with:
            complain(f"{dealt_with:,} of {total:,} are dealt with: run it again for the others")
        raise


def count(those: Iterable[object]) -> int:
    """How many there are; shows on a terminal how many were found so far."""
    out = console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} found"))
    found = 0
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        for _ in bar.track(those):
            found += 1
    return found
