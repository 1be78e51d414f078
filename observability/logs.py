"""Logs of a worker process: JSON on a pipe, colour on a terminal, a handler's lines with its attempt."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from ..messages.conceal import concealed
from .current import current
from .levels import level_of
from .tracebacks import shown

_PLAIN = (str, int, float, bool, type(None))


def set_up(level: str = "info", *, as_json: bool | None = None) -> None:
    """Write the lines of structlog and of `logging` to stderr, each with the attempt it was written in.

    JSON, one object a line, unless stderr is a terminal. To be called where the program begins, before
    the app is imported: whatever is configured afterwards has the say. Raises `ValueError` for a level
    there is not.
    """
    number = level_of(level)
    renderer = _renderer(not sys.stderr.isatty() if as_json is None else as_json)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _add_logger, *_about_each_line(), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=Lines,
        cache_logger_on_first_use=False,
    )
    handler = _ToStderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_about_each_line()],
        )
    )
    logging.basicConfig(level=number, handlers=[handler], force=True)


def set_level(level: str) -> None:
    """Change the level, if `set_up` still has the say; raises `ValueError` for one there is not."""
    number = level_of(level)
    if structlog.is_configured() and structlog.get_config()["logger_factory"] is Lines:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))
    if any(isinstance(handler, _ToStderr) for handler in logging.getLogger().handlers):
        logging.getLogger().setLevel(number)


def add_attempt(_logger: object, _method: str, line: EventDict) -> EventDict:
    """A processor: adds event, ids, actor and attempt to a line that is written in a handler."""
    at_work = current.get()
    if at_work is not None:
        for name, value in at_work.log_fields().items():
            line.setdefault(name, value)
    return line


def conceal(_logger: object, _method: str, line: EventDict) -> EventDict:
    """A processor: masks the sensitive values of the event that is handled, wherever in a line they are."""
    at_work = current.get()
    secrets = () if at_work is None else at_work.secrets()
    if line.get("exception"):
        line["exception"] = shown(str(line["exception"]), secrets)
    return {name: _concealed(value, secrets) for name, value in line.items()} if secrets else line


class Lines:
    """Where structlog's lines go: to stderr as it is when a line is written, each in one piece."""

    def __init__(self, name: str = "", *_: object) -> None:
        self.name = name

    def _write(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg = log = _write


class _ToStderr(logging.StreamHandler[TextIO]):
    """The same for `logging`: dramatiq's worker processes have a stderr of their own."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # as logging's own last resort does
        return sys.stderr


def _about_each_line() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        add_attempt,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        conceal,
    ]


def _renderer(as_json: bool) -> Processor:
    if as_json:
        # What JSON does not know is told by its repr: an event's shows no more than its key.
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors="NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback
    )


def _add_logger(logger: Lines, _method: str, line: EventDict) -> EventDict:
    if logger.name:
        line.setdefault("logger", logger.name)
    return line


def _concealed(value: Any, secrets: Sequence[str]) -> Any:
    """A value without secrets; of one that is no plain value, its repr."""
    if isinstance(value, Mapping):
        return {_concealed(key, secrets): _concealed(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_concealed(inner, secrets) for inner in value]
    text = value if isinstance(value, str) else repr(value)
    masked = concealed(text, secrets)
    return value if masked == text and isinstance(value, _PLAIN) else masked
