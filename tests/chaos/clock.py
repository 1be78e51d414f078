"""Sets the clock of this process wrong, as a machine's that nobody keeps right."""

import sys
import time
from datetime import datetime, timedelta, tzinfo
from typing import Any

PACKAGE = "callboard"

_time, _time_ns = time.time, time.time_ns


def set_clock(seconds: int) -> None:
    """Let the time of day be so many seconds ahead of the right one, for `time` and for `datetime`.

    The monotonic clock goes on as before, as it does when a real clock is set.
    """
    time.time = lambda: _time() + seconds
    time.time_ns = lambda: _time_ns() + seconds * 1_000_000_000
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == PACKAGE and "datetime" in vars(module):
            vars(module)["datetime"] = _wrong_by(timedelta(seconds=seconds))


class _SameKind(type):
    """All that is asked of the class but `now` is asked of `datetime`, whose instances are its own."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, datetime)

    def __getattr__(cls, name: str) -> Any:
        return getattr(datetime, name)


def _wrong_by(shift: timedelta) -> Any:
    class WrongClock(metaclass=_SameKind):
        """In the place of `datetime` in a module."""

        @staticmethod
        def now(tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + shift

    return WrongClock
