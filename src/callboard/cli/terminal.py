"""How commands speak: tables and JSON on stdout, all else on stderr."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Annotated, Any

import msgspec
import structlog
from cyclopts import Parameter
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

PIPE_WIDTH = 240
"""Columns for whoever reads a table through a pipe: no line of it is to be broken."""

AsJson = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="As JSON, on stdout.")
]
"""The option that every command which shows something has."""


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "Examples:\n\n```\n" + "\n".join(lines) + "\n```"


_TURNS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""What makes a terminal write from right to left."""

_HARMLESS = {
    code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0), *_TURNS) if chr(code) not in "\n\t"
}


class _Console(Console):
    """Writes no control character that stands in a text: an error or a name may come from anybody."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for each in super().render(renderable, options):
            yield each if each.control else Segment(each.text.translate(_HARMLESS), each.style)


def console(*, stderr: bool = False) -> Console:
    """Where to print; as wide as the terminal, or wide enough where there is none. An id is no emoji."""
    made = _Console(stderr=stderr, emoji=False)
    return made if made.is_terminal else _Console(stderr=stderr, width=PIPE_WIDTH, emoji=False)


def write_json(value: Any, *, indent: bool = True) -> None:
    """Write a value on stdout: over several lines, or on one of its own."""
    encoded = msgspec.json.encode(value)
    text = (msgspec.json.format(encoded) if indent else encoded).decode()
    sys.stdout.write(f"{text}\n")


def keep_logs_off_stdout() -> None:
    """Send log lines to stderr, unless the app says where they go: stdout is for what was asked."""
    if not structlog.is_configured():
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def shown_wait(milliseconds: int) -> str:
    """How long it is until something, as a person says it: "0:05:00", "3 days, 1:00:00"."""
    return str(timedelta(seconds=max(0, milliseconds) // 1000))


def shown_age(milliseconds: int) -> str:
    """A length of time as a person says it: "3s ago"."""
    seconds = max(0, milliseconds) // 1000
    return f"{timedelta(seconds=seconds)} ago" if seconds >= 60 else f"{seconds}s ago"  # noqa: PLR2004 - a minute


@contextmanager
def ending_as_with_ctrl_c() -> Iterator[None]:
    """Clean up when the terminal is closed or a supervisor ends the command, as with Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
