"""Reads lengths of time ("10s", "6 minutes") and the moment that `after` asks for."""

import calendar
import math
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import msgspec

from .errors import InvalidAfter, InvalidDuration

DAY_MS = 86_400_000
MAX_AFTER_MS = 366 * DAY_MS
"""How far ahead `after` may lie, in milliseconds: one year, and a leap year is one too."""

MAX_DURATION_MS = 36_525 * DAY_MS
"""The longest duration that is read, in milliseconds: a hundred years."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = {"month": 1, "year": 12}
_WORD_MS = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": DAY_MS, "week": 7 * DAY_MS}
_DURATION_MS = {
    **_WORD_MS,
    "month": 30 * DAY_MS,
    "year": 365 * DAY_MS,
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": DAY_MS,
    "w": 7 * DAY_MS,
}
_DIGITS = r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?"
_NUMBER = re.compile(_DIGITS)
_AMOUNT = re.compile(rf"({_DIGITS})\s*([a-z]+)", re.ASCII | re.IGNORECASE)
_AFTER_FORMS = (
    'write a count and a unit such as "5 minutes" (seconds, minutes, hours, days, weeks, months, years), '
    "or an ISO 8601 time such as 2030-01-31T09:00:00Z"
)


class After(msgspec.Struct, frozen=True):
    """When a delivery is first due: exactly one of the two is set, the other is 0."""

    delay_ms: int = 0
    """Wait this long from when the mailbox accepts it, milliseconds."""
    due_at: int = 0
    """Or wait until this moment, epoch milliseconds."""


def duration_ms(value: str | float | timedelta, *, name: str = "a duration") -> int:
    """Milliseconds of a duration, rounded up; `name` is what error messages call it.

    Bare numbers are seconds. Words are a count and a unit: ms, s, m, h, d, w, or seconds to years in
    full, where a month has 30 days and a year 365. Raises `InvalidDuration` for what cannot be read,
    is negative, or is longer than a hundred years.
    """
    exact = _exact_ms(value, name)
    if exact < 0:
        raise InvalidDuration(f"{name} cannot be negative, but is {_shown(value)}")
    if exact > MAX_DURATION_MS:
        raise InvalidDuration(f"{name} can be a hundred years at most, but is {_shown(value)}")
    return math.ceil(exact)


def _exact_ms(value: object, name: str) -> Fraction:
    match value:
        case timedelta():
            return Fraction(value // timedelta.resolution, 1000)
        case bool():
            raise InvalidDuration(f"{name} cannot be {value}; {_duration_forms(name)}")
        case int():
            return Fraction(value) * 1000
        case float() if math.isfinite(value):
            # As it is written: 1.1 is eleven tenths, whatever its binary form.
            return Fraction(float.__repr__(value)) * 1000
        case str():
            return _words_ms(value, name)
        case float():
            raise InvalidDuration(f"{name} must be a finite number, but is {value}; {_duration_forms(name)}")
        case _:
            raise InvalidDuration(f"{name} cannot be a {type(value).__name__}; {_duration_forms(name)}")


def _words_ms(words: str, name: str) -> Fraction:
    text = words.strip()
    if _NUMBER.fullmatch(text):
        return Fraction(text) * 1000
    amount = _AMOUNT.fullmatch(text)
    unit = _DURATION_MS.get(_singular(amount[2])) if amount else None
    if amount is None or unit is None:
        raise InvalidDuration(f"cannot read {_shown(words)} as {name}; {_duration_forms(name)}")
    return Fraction(amount[1]) * unit


def read_after(value: str | float | datetime | timedelta, *, now: datetime | None = None) -> After:
    """The moment `after` asks for.

    A number up to 366 days in milliseconds is a wait in milliseconds, a larger one a timestamp in
    epoch milliseconds. Text is an ISO 8601 time with its zone, or words such as "1 day", where months
    and years follow the calendar in UTC. `now` is the publisher's clock, an aware datetime. Raises
    `InvalidAfter` unless the moment is later than now and at most 366 days ahead.
    """
    match value:
        case bool():
            raise InvalidAfter(f"`after` cannot be {value}; pass milliseconds, or {_AFTER_FORMS}")
        case float() if not math.isfinite(value):
            raise InvalidAfter(f"`after` must be a finite number of milliseconds, but is {value}")
        case int() | float():
            return _after_number(value, now)
        case timedelta():
            return _wait(_ceil_ms(value), value)
        case datetime():
            return _until(_epoch_ms(value), value, now)
        case str():
            return _after_text(value, now)
        case _:
            raise InvalidAfter(
                f"`after` cannot be a {type(value).__name__}; pass a number, datetime, timedelta or text"
            )


def _after_number(value: float, now: datetime | None) -> After:
    if value <= MAX_AFTER_MS:
        return _wait(math.ceil(value), value)
    return _until(math.ceil(value), value, now)


def _after_text(text: str, now: datetime | None) -> After:
    amount = _AMOUNT.fullmatch(text.strip())
    if amount:
        return _after_words(Fraction(amount[1]), _singular(amount[2]), text, now)
    if _NUMBER.fullmatch(text.strip()):
        raise InvalidAfter(
            f"`after` is the text {_shown(text)}; pass milliseconds as a number, or {_AFTER_FORMS}"
        )
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidAfter(f"cannot read {_shown(text)} as `after`; {_AFTER_FORMS}") from None
    return _until(_epoch_ms(moment), text, now)


def _after_words(count: Fraction, unit: str, text: str, now: datetime | None) -> After:
    if unit in _WORD_MS:
        return _wait(math.ceil(count * _WORD_MS[unit]), text)
    if unit not in _MONTHS:
        raise InvalidAfter(f"cannot read {_shown(text)} as `after`; {_AFTER_FORMS}")
    months = count * _MONTHS[unit]
    if months.denominator != 1:
        raise InvalidAfter(
            f"`after` is {_shown(text)}, but months must be whole: write days or hours instead"
        )
    if months > 12:  # noqa: PLR2004 - a year has twelve, and more lie beyond the limit whatever the date
        raise _too_far(text)
    start = _clock(now)
    return _wait(_ceil_ms(_later_by_months(start, max(int(months), 0)) - start), text)


def _later_by_months(moment: datetime, months: int) -> datetime:
    """The same day and time some months later, or the month's last day where it has no such day."""
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    last_day = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))


def _wait(delay_ms: int, value: object) -> After:
    if delay_ms <= 0:
        raise InvalidAfter(
            f"`after` must be greater than zero, but is {_shown(value)}; leave it out to send now"
        )
    if delay_ms > MAX_AFTER_MS:
        raise _too_far(value)
    return After(delay_ms=delay_ms)


def _until(due_at: int, value: object, now: datetime | None) -> After:
    ahead = due_at - _epoch_ms(_clock(now))
    if ahead <= 0:
        raise InvalidAfter(
            f"`after` is {_shown(value)}, a moment that is not later than now; numbers up to {MAX_AFTER_MS} "
            "wait that many milliseconds, larger ones are epoch milliseconds"
        )
    if ahead > MAX_AFTER_MS:
        raise _too_far(value)
    return After(due_at=due_at)


def _too_far(value: object) -> InvalidAfter:
    return InvalidAfter(f"`after` is {_shown(value)}, but can be one year (366 days) ahead at most")


def _epoch_ms(moment: datetime) -> int:
    """Epoch milliseconds, rounded up so that nothing is due early."""
    if moment.utcoffset() is None:
        raise InvalidAfter(
            f"`after` is {moment.isoformat()}, which names no time zone: end the text with Z, or pass "
            "a datetime with tzinfo=UTC"
        )
    return _ceil_ms(moment - _EPOCH)


def _ceil_ms(length: timedelta) -> int:
    return -(-(length // timedelta.resolution) // 1000)


def _clock(now: datetime | None) -> datetime:
    if now is None:
        return datetime.now(UTC)
    if now.utcoffset() is None:
        raise ValueError("`now` must be an aware datetime: pass datetime.now(UTC)")
    return now.astimezone(UTC)


def _singular(unit: str) -> str:
    """The unit in lower case, without the plural's s; one letter is left as it is."""
    word = unit.lower()
    return word.removesuffix("s") if len(word) > len("ms") else word


def _duration_forms(name: str) -> str:
    return f'give {name} in seconds, as a timedelta, or as words such as "10s", "1.5 hours" or "14 days"'


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 200:  # noqa: PLR2004 - Python refuses to print huge ones
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - a line's worth
