"""Which attempt this thread or task is at, asked when a line is written: until then binding costs nothing."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Protocol


class AtWork(Protocol):
    """An attempt, as lines that are written during it want to know it."""

    def log_fields(self) -> Mapping[str, object]:
        """What its lines carry."""
        ...

    def secrets(self) -> Sequence[str]:
        """What no text about it may show."""
        ...


current: ContextVar[AtWork | None] = ContextVar("callboard.current", default=None)
"""Set while a handler and the layers around it run."""
