"""What a publisher says of the attempts at one event: it goes before what its actors say."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, TypedDict, TypeVar

import msgspec

from .errors import InvalidDuration, InvalidOption
from .timing import duration_ms

Length = str | float | timedelta
"""A length of time: "10s", "5 minutes", seconds, or a timedelta."""

T = TypeVar("T")

_FromOne = Annotated[int, msgspec.Meta(ge=1)]
_FromNothing = Annotated[int, msgspec.Meta(ge=0)]


class OptionsGiven(TypedDict, total=False):
    """What may be said of an event's attempts, by keyword; None says nothing.

    `timeout` is how long each attempt may take. `max_attempts` counts all starts, so 3 means two retries.
    From the age `give_up_after` on it is not tried again, from `max_age` on it is not handled at all; both
    count from when the event was due.
    """

    timeout: Length | None
    max_attempts: int | None
    give_up_after: Length | None
    max_age: Length | None


class EventOptions(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The same as an envelope carries it."""

    timeout_ms: _FromOne | None = None
    max_attempts: _FromOne | None = None
    give_up_after_ms: _FromNothing | None = None
    max_age_ms: _FromOne | None = None


def read_options(given: OptionsGiven, longest_timeout: float) -> EventOptions | None:
    """What was said, checked; None if nothing was. `longest_timeout` is in seconds.

    Raises `InvalidOption` with all that cannot be, and `TypeError` for a word that is none of them.
    """
    if unknown := [word for word in given if word not in OptionsGiven.__annotations__]:
        known = ", ".join(OptionsGiven.__annotations__)
        raise TypeError(f"publishing takes no `{unknown[0]}`: of an event's attempts it takes {known}")
    faults: list[str] = []

    def read(option: str, reader: Callable[..., T], *more: object) -> T | None:
        value = given.get(option)
        try:
            return None if value is None else reader(value, *more)
        except (InvalidDuration, InvalidOption) as error:
            faults.append(str(error))
            return None

    options = EventOptions(
        read("timeout", _timeout_ms, longest_timeout),
        read("max_attempts", _attempts),
        read("give_up_after", _give_up_after_ms),
        read("max_age", _max_age_ms),
    )
    if faults:
        raise InvalidOption("; ".join(faults))
    return None if options == _NOTHING else options


_NOTHING = EventOptions()


def _timeout_ms(timeout: Length, longest: float) -> int:
    ms = duration_ms(timeout, name="timeout")
    if not 0 < ms <= longest * 1000:
        raise InvalidOption(
            f"timeout must be more than 0 and at most {longest:g} s, but is {ms / 1000:g} s: "
            "the app's longest_timeout allows more"
        )
    return ms


def _attempts(most: object) -> int:
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InvalidOption(
            f"max_attempts counts all starts, so it is a whole number from 1, but is {most!r}"
        )
    return most


def _give_up_after_ms(age: Length) -> int:
    return duration_ms(age, name="give_up_after")


def _max_age_ms(age: Length) -> int:
    ms = duration_ms(age, name="max_age")
    if ms == 0:
        raise InvalidOption("max_age must be more than 0, or nobody would handle the event: leave it out")
    return ms
