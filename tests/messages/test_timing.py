"""Lengths of time and the moment of `after` are read as written, or refused with what to write instead."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.messages.errors import InvalidAfter, InvalidDuration
from callboard.messages.timing import DAY_MS, MAX_AFTER_MS, After, duration_ms, read_after

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
NOW_MS = 1_769_860_800_000
HOUR_MS = 3_600_000


def days_until(words: str, start: datetime) -> float:
    return read_after(words, now=start).delay_ms / DAY_MS


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        ("10s", 10_000),
        ("6m", 360_000),
        ("14d", 14 * DAY_MS),
        ("5h", 5 * HOUR_MS),
        ("2w", 14 * DAY_MS),
        ("250ms", 250),
        ("0.1s", 100),
        ("1.5 hours", 5_400_000),
        ("1 second", 1000),
        ("2 Seconds", 2000),
        (" 5 minutes ", 300_000),
        ("1 day", DAY_MS),
        ("3 weeks", 21 * DAY_MS),
        ("2 months", 60 * DAY_MS),
        ("1 year", 365 * DAY_MS),
        ("10", 10_000),
        (10, 10_000),
        (0, 0),
        ("0s", 0),
        (0.5, 500),
        (1.1, 1100),
        (0.0001, 1),
        (timedelta(minutes=5), 300_000),
        (timedelta(microseconds=1), 1),
        (timedelta(0), 0),
    ],
)
def test_a_duration_is_read_in_milliseconds(value: Any, milliseconds: int) -> None:
    assert duration_ms(value) == milliseconds


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (-1, "cannot be negative"),
        ("-1s", "cannot be negative"),
        (timedelta(seconds=-1), "cannot be negative"),
        (True, "cannot be True"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (1e300, "hundred years"),
        (10**400, "hundred years"),
        pytest.param(10**5000, "hundred years", id="huge"),
        ("200 years", "hundred years"),
        (timedelta.max, "hundred years"),
        ("soon", "cannot read 'soon'"),
        ("", "cannot read ''"),
        ("5 fortnights", "cannot read"),
        ("5 ss", "cannot read"),
        ("1h30m", "cannot read"),
        ("1e3s", "cannot read"),
        ("٣s", "cannot read"),
        ("9" * 5000 + "s", "cannot read"),
        ("nan", "cannot read"),
        (None, "cannot be a NoneType"),
        ([], "cannot be a list"),
    ],
)
def test_what_is_no_duration_is_refused_under_the_options_name(value: Any, fault: str) -> None:
    with pytest.raises(InvalidDuration, match=fault) as raised:
        duration_ms(value, name="timeout")
    assert "timeout" in str(raised.value)
    assert len(str(raised.value)) < 250


@given(st.integers(0, 10**9), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_a_shorter_unit_is_a_shorter_duration(count: int, unit: str) -> None:
    scale = {"ms": 1, "s": 1000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}[unit]
    if count * scale <= 36_525 * DAY_MS:
        assert duration_ms(f"{count}{unit}") == count * scale


@given(st.floats(0, 1e9))
def test_a_number_of_seconds_is_never_cut_short(seconds: float) -> None:
    assert 0 <= duration_ms(seconds) - seconds * 1000 < 1.001


@pytest.mark.parametrize(
    ("value", "delay_ms"),
    [
        (1, 1),
        (300_000, 300_000),
        (0.5, 1),
        (MAX_AFTER_MS, MAX_AFTER_MS),
        (timedelta(hours=1), HOUR_MS),
        (timedelta(microseconds=1), 1),
        (timedelta(days=366), MAX_AFTER_MS),
        ("1 second", 1000),
        ("90 seconds", 90_000),
        ("5 minutes", 300_000),
        ("5minutes", 300_000),
        (" 1 Hour ", HOUR_MS),
        ("1.5 hours", 5_400_000),
        ("1 day", DAY_MS),
        ("2 weeks", 14 * DAY_MS),
        ("366 days", MAX_AFTER_MS),
    ],
)
def test_a_wait_is_told_in_milliseconds(value: Any, delay_ms: int) -> None:
    assert read_after(value, now=NOW) == After(delay_ms=delay_ms)


@pytest.mark.parametrize(
    ("value", "due_at"),
    [
        (NOW_MS + 1, NOW_MS + 1),
        (NOW_MS + 0.5, NOW_MS + 1),
        (NOW_MS + MAX_AFTER_MS, NOW_MS + MAX_AFTER_MS),
        ("2026-01-31T12:00:01Z", NOW_MS + 1000),
        ("2026-01-31T12:00:00.001Z", NOW_MS + 1),
        ("2026-01-31 13:00:00+00:00", NOW_MS + HOUR_MS),
        ("2026-01-31T15:00+02:00", NOW_MS + HOUR_MS),
        ("20260131T130000Z", NOW_MS + HOUR_MS),
        (NOW + timedelta(seconds=1), NOW_MS + 1000),
        (datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=1))), NOW_MS + HOUR_MS),
        (datetime(2026, 7, 1, 14, tzinfo=ZoneInfo("Europe/Berlin")), 1_782_907_200_000),
        (NOW + timedelta(microseconds=1), NOW_MS + 1),
    ],
)
def test_a_moment_is_told_in_epoch_milliseconds(value: Any, due_at: int) -> None:
    assert read_after(value, now=NOW) == After(due_at=due_at)


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        ("1 month", datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 2, 28, 12, tzinfo=UTC)),
        ("1 month", datetime(2028, 1, 31, 12, tzinfo=UTC), datetime(2028, 2, 29, 12, tzinfo=UTC)),
        ("1 month", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 31, 23, 59, tzinfo=UTC)),
        ("3 months", datetime(2026, 11, 30, tzinfo=UTC), datetime(2027, 2, 28, tzinfo=UTC)),
        ("12 months", datetime(2027, 3, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)),
        ("1 year", datetime(2028, 2, 29, 6, tzinfo=UTC), datetime(2029, 2, 28, 6, tzinfo=UTC)),
        ("1 year", datetime(2026, 5, 4, tzinfo=UTC), datetime(2027, 5, 4, tzinfo=UTC)),
        ("0.5 years", datetime(2026, 8, 31, tzinfo=UTC), datetime(2027, 2, 28, tzinfo=UTC)),
    ],
)
def test_months_and_years_follow_the_calendar(words: str, start: datetime, end: datetime) -> None:
    assert read_after(words, now=start) == After(delay_ms=int((end - start) / timedelta(milliseconds=1)))


def test_a_year_over_a_leap_day_has_366_days() -> None:
    assert days_until("1 year", datetime(2027, 6, 1, tzinfo=UTC)) == 366
    assert days_until("1 year", datetime(2028, 6, 1, tzinfo=UTC)) == 365


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_the_publishers_zone_and_its_summer_time_change_nothing(zone: str) -> None:
    before_the_change = datetime(2026, 3, 7, 20, tzinfo=UTC)
    for words in ("1 day", "1 month", "9 months", "1 year"):
        local = read_after(words, now=before_the_change.astimezone(ZoneInfo(zone)))
        assert local == read_after(words, now=before_the_change)


def test_the_zone_of_now_does_not_choose_the_day_of_the_month() -> None:
    # 31 January in UTC, and 1 February in Kathmandu already.
    start = datetime(2026, 1, 31, 23, tzinfo=UTC).astimezone(ZoneInfo("Asia/Kathmandu"))
    assert days_until("1 month", start) == 28


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (0, "greater than zero"),
        (-1, "greater than zero"),
        (-0.0, "greater than zero"),
        (timedelta(0), "greater than zero"),
        (timedelta(days=-1), "greater than zero"),
        ("0 days", "greater than zero"),
        ("-1 day", "greater than zero"),
        ("-1 month", "greater than zero"),
        ("0 years", "greater than zero"),
        (True, "cannot be True"),
        (False, "cannot be False"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (-float("inf"), "finite"),
        (datetime(2026, 2, 1), "names no time zone"),  # noqa: DTZ001 - a naive one is what is tried
        ("2026-02-01T12:00:00", "names no time zone"),
        ("2026-02-01", "names no time zone"),
        (MAX_AFTER_MS + 1, "not later than now"),
        (NOW_MS, "not later than now"),
        (NOW, "not later than now"),
        ("2026-01-31T12:00:00Z", "not later than now"),
        (datetime.min.replace(tzinfo=UTC), "not later than now"),
        (NOW_MS + MAX_AFTER_MS + 1, "one year"),
        (10**30, "one year"),
        pytest.param(10**5000, "one year", id="huge"),
        pytest.param(-(10**5000), "greater than zero", id="huge below zero"),
        (1e300, "one year"),
        (datetime.max.replace(tzinfo=UTC), "one year"),
        (timedelta.max, "one year"),
        ("367 days", "one year"),
        ("13 months", "one year"),
        ("2 years", "one year"),
        ("999999999999999 months", "one year"),
        ("53 weeks", "one year"),
        ("1.5 months", "months must be whole"),
        ("0.3 years", "months must be whole"),
        ("soon", "cannot read 'soon'"),
        ("", "cannot read ''"),
        ("5 fortnights", "cannot read"),
        ("5m", "cannot read"),
        ("in 5 minutes", "cannot read"),
        ("five minutes", "cannot read"),
        ("2026-02-30T00:00:00Z", "cannot read"),
        ("9" * 5000 + " days", "cannot read"),
        ("x" * 5000, "cannot read"),
        ("300000", "milliseconds as a number"),
        (None, "cannot be a NoneType"),
        (date(2026, 2, 1), "cannot be a date"),
        (b"1 day", "cannot be a bytes"),
    ],
)
def test_what_is_no_later_moment_within_a_year_is_refused_with_a_reason(value: Any, fault: str) -> None:
    with pytest.raises(InvalidAfter, match=fault) as raised:
        read_after(value, now=NOW)
    assert len(str(raised.value)) < 300


def test_a_publishers_clock_without_a_zone_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="aware"):
        read_after("1 month", now=datetime(2026, 1, 1))  # noqa: DTZ001 - a naive one is what is tried


def test_without_a_clock_the_machines_is_used() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert read_after(tomorrow).due_at >= tomorrow.timestamp() * 1000
    assert 28 * DAY_MS <= read_after("1 month").delay_ms <= 31 * DAY_MS


moments = st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive


@given(moments, st.integers(1, 12))
def test_some_months_later_is_in_that_month_on_the_same_day_or_its_last(now: datetime, months: int) -> None:
    end = now + timedelta(milliseconds=read_after(f"{months} months", now=now).delay_ms)
    assert (end.year * 12 + end.month) - (now.year * 12 + now.month) == months or end.microsecond < 1000
    assert end.day == now.day or (end + timedelta(days=1)).day == 1


@given(moments, st.integers(1, MAX_AFTER_MS))
def test_every_form_of_one_moment_is_the_same_moment(now: datetime, delay_ms: int) -> None:
    now = now.replace(microsecond=0)
    moment = now + timedelta(milliseconds=delay_ms)
    due = read_after(moment, now=now)
    assert due == read_after(moment.isoformat(), now=now)
    assert due == read_after(moment.astimezone(ZoneInfo("America/New_York")), now=now)
    assert due.due_at == int(now.timestamp()) * 1000 + delay_ms
    if due.due_at > MAX_AFTER_MS:
        assert due == read_after(due.due_at, now=now)


@given(st.text() | st.integers() | st.floats() | st.timedeltas() | st.datetimes() | moments | st.booleans())
def test_anything_is_either_read_or_refused_clearly(value: Any) -> None:
    try:
        after = read_after(value, now=NOW)
    except InvalidAfter:
        return
    assert (after.delay_ms > 0) != (after.due_at > 0)
    assert after.delay_ms <= MAX_AFTER_MS
    assert after.due_at <= NOW_MS + MAX_AFTER_MS
