"""Reads the bodies of events that a person or a file hands over: one, or one a line, in bounded memory."""

import codecs
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from ..messages.codec import MAX_EVENT_BYTES, check_depth
from ..messages.contract import Contract
from ..messages.errors import ConfigurationError, UnreadableBody
from ..messages.event import Event, shape_of
from ..messages.fault import fault_of

LONGEST_BODY = 8 * MAX_EVENT_BYTES
"""Bytes that are read of one body: JSON may be written far longer than it is kept."""

_GZIP = b"\x1f\x8b"


class Line(msgspec.Struct, frozen=True):
    """One line of a file of events."""

    number: int
    """Counted from 1, blank ones too."""
    body: bytes
    too_long: bool = False


def read_data(data: str) -> bytes:
    """The body that `--data` means: the text itself, `@file` or `-` for stdin."""
    if data != "-" and not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    with open_source("-" if data == "-" else data[1:]) as source:
        body = source.stream.read(LONGEST_BODY + 1)
    if len(body) > LONGEST_BODY:
        raise UnreadableBody(f"the body is longer than {LONGEST_BODY} bytes: use --jsonl for many events")
    return body.removeprefix(codecs.BOM_UTF8)


class Source(msgspec.Struct, frozen=True):
    """An open file of events."""

    stream: BinaryIO
    position: Callable[[], int]
    """Bytes of the file read so far, packed as they are; raises OSError where there is no such thing."""


@contextmanager
def open_source(name: str) -> Iterator[Source]:
    """A file, or stdin for `-`, unpacked if need be; raises `ConfigurationError` when it cannot be read."""
    place = sys.stdin.fileno() if name == "-" else name
    try:
        with open(place, "rb", closefd=name != "-") as raw:
            if raw.peek(2)[:2] != _GZIP:
                yield Source(raw, raw.tell)
                return
            with gzip.open(raw) as unpacked:
                yield Source(cast("BinaryIO", unpacked), raw.tell)
    except BrokenPipeError:
        raise  # of who reads what is written meanwhile
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ConfigurationError(f"{_shown(name)} cannot be unpacked ({error}): gzip it again") from error
    except OSError as error:
        raise ConfigurationError(f"{_shown(name)} cannot be read: {error.strerror}") from error


def read_lines(source: BinaryIO) -> Iterator[Line]:
    """The lines of a file that are not blank. One that is too long is told as such, and skipped."""
    number = 0
    while body := source.readline(LONGEST_BODY):
        number += 1
        if number == 1:
            body = body.removeprefix(codecs.BOM_UTF8)
        too_long = len(body) == LONGEST_BODY and not body.endswith(b"\n")
        if too_long:
            _skip_line(source)
        if not body.isspace():
            yield Line(number, b"" if too_long else body, too_long)


def read_event(contract: Contract, body: bytes) -> Event:
    """The event whose fields a body holds; raises `UnreadableBody` naming the field, never its content."""
    check_depth(body)
    try:
        event: Event = shape_of(contract.cls).decode(body)
    except Exception as error:  # noqa: BLE001 - a contract's __post_init__ may raise anything
        fault = fault_of(error)
    else:
        return event
    raise UnreadableBody(f"{contract.name}: {fault}")


def size_of(name: str) -> int | None:
    """Bytes of a file; None for what has no size."""
    path = Path(name)
    return path.stat().st_size if name != "-" and path.is_file() else None


def _skip_line(source: BinaryIO) -> None:
    while (more := source.readline(LONGEST_BODY)) and not more.endswith(b"\n"):
        pass


def _shown(name: str) -> str:
    return "stdin" if name == "-" else name
