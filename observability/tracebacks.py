"""An exception as a line of a log tells it: where it came from, and no value of a variable."""

import traceback
from collections.abc import Sequence
from types import TracebackType

import structlog

from ..messages.conceal import LONGEST, concealed, without_credentials

MOST_FRAMES = 8
"""Frames that `where` tells, the innermost."""

_OURS = tuple(f"{__name__.partition('.')[0]}.{floor}." for floor in ("messages", "middleware", "actors"))


def where(error: BaseException) -> list[str]:
    """The frames an exception came through, the innermost last; neither its text nor a line of source."""
    frames = [
        f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(_outside(error.__traceback__))
    ]
    return frames[-MOST_FRAMES:]


def told(error: BaseException, secrets: Sequence[str] = ()) -> str:
    """The whole traceback, with its causes and texts; secrets and what looks like credentials are masked.

    To be written in place of `exc_info`, which some loggers follow up with the values of all variables.
    """
    return shown("".join(traceback.format_exception(error)).rstrip(), secrets)


def report(
    logger: structlog.stdlib.BoundLogger, what: str, error: BaseException, /, **fields: object
) -> None:
    """Write an error of Callboard's own with its traceback, as `told` tells it."""
    logger.error(what, exception=told(error), **fields)


def shown(text: str, secrets: Sequence[str]) -> str:
    """A text about an exception, with what it must not tell masked; of a very long one the end."""
    return without_credentials(_ending(concealed(text, secrets)))


def _ending(text: str) -> str:
    """As much of the end of a text as is looked through for credentials, in whole lines."""
    if len(text) <= LONGEST:
        return text
    end = text[4 - LONGEST :]
    return "...\n" + end.partition("\n")[2] if "\n" in end else "..."


def _outside(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is not Callboard's own, if there is one."""
    found = frames
    while found is not None and str(found.tb_frame.f_globals.get("__name__", "")).startswith(_OURS):
        found = found.tb_next
    return found or frames
