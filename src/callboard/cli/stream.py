"""Takes the lines of a file through reading, publishing and reporting, a chunk at a time and in order."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..actors.receipt import DeliveryReceipt, Receipt
from ..messages.errors import MailboxError, PublishError, UnreadableBody
from ..messages.event import Event
from .bodies import LONGEST_BODY, Line, Source
from .exits import ExitCode, complain
from .posting import Post, Result
from .terminal import console, write_json

Passing = Callable[[Iterable[Line]], Iterator[Line]]
"""Lets lines through, and looks at them."""

CHUNK = 500
"""Events in one publish."""
CHUNK_BYTES = 4_000_000
"""Bytes of their bodies, unless one alone has more."""


class Stream:
    """The events of one command on their way.

    `each` is told what became of every event, by its line, as it is known; `many` says that there
    are lines to tell of.
    """

    def __init__(
        self, read: Callable[[bytes], Event], post: Post, each: Callable[[int, Receipt], None], *, many: bool
    ) -> None:
        self._many = many
        self._read = read
        self._post = post
        self._each = each
        self._chunk: list[tuple[int, Event | UnreadableBody]] = []
        self._size = 0
        self._stored_to = 0
        self.accepted = 0
        self.deliveries = 0
        self.duplicates = 0
        self.unrouted = 0
        self.refused = 0

    @property
    def exit_code(self) -> ExitCode:
        """What the command came to."""
        if self.refused:
            return ExitCode.USAGE
        return ExitCode.FAILED if self.unrouted else ExitCode.OK

    def take(self, lines: Iterable[Line]) -> None:
        """Read and publish all lines; raises a `MailboxError`, having told how far it came."""
        for line in lines:
            self._chunk.append((line.number, self._event(line)))
            self._size += len(line.body)
            if len(self._chunk) >= CHUNK or self._size >= CHUNK_BYTES:
                self._flush()
        self._flush()

    def _event(self, line: Line) -> Event | UnreadableBody:
        if line.too_long:
            return UnreadableBody(f"it is longer than {LONGEST_BODY} bytes")
        try:
            return self._read(line.body)
        except UnreadableBody as error:
            return error

    def _flush(self) -> None:
        chunk, self._chunk, self._size = self._chunk, [], 0
        events = [each for _, each in chunk if isinstance(each, Event)]
        try:
            results = iter(self._post(events) if events else ())
        except MailboxError:
            if self._many:
                complain(
                    f"all up to line {self._stored_to} is stored; from line {chunk[0][0]} to {chunk[-1][0]} "
                    "some may be, and nothing after them"
                )
            raise
        for number, each in chunk:
            self._count(number, next(results) if isinstance(each, Event) else each)
            self._stored_to = number

    def _count(self, number: int, result: Result | UnreadableBody) -> None:
        if isinstance(result, PublishError | UnreadableBody):
            self.refused += 1
            complain(f"line {number}: {result}" if self._many else str(result))
            return
        self.accepted += 1
        if result is not None:
            self.deliveries += len(result.deliveries)
            self.duplicates += sum(delivery.duplicate for delivery in result.deliveries)
            self.unrouted += not result.deliveries
            self._each(number, result)


class Accepted(msgspec.Struct, frozen=True):
    """One event that was accepted, as `--json` prints it on a line."""

    line: int
    id: str
    deliveries: tuple[DeliveryReceipt, ...]


def as_json(number: int, receipt: Receipt) -> None:
    """Report an event on a line of JSON."""
    write_json(Accepted(number, receipt.id, receipt.deliveries), indent=False)


def in_words(_number: int, receipt: Receipt) -> None:
    """Report one event to a person."""
    takers = [f"{each.actor}{' (duplicate)' if each.duplicate else ''}" for each in receipt.deliveries]
    told = f"for {', '.join(takers)}" if takers else "but nobody subscribes to it, so it is not kept"
    console().print(f"accepted {receipt.id} {told}", highlight=False, soft_wrap=True)


@contextmanager
def progress(source: Source, size: int | None, stream: Stream) -> Iterator[Passing]:
    """Shows on a terminal's stderr how far a file has been read, by the lines that pass through."""
    out = console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.fields[events]:,} events"), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=size, events=0)

        def passing(lines: Iterable[Line]) -> Iterator[Line]:
            for line in lines:
                yield line
                if not bar.disable and line.number % CHUNK == 0:
                    bar.update(task, completed=source.position() if size else 0, events=stream.accepted)

        yield passing
