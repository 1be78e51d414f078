"""The clock of a process can be set wrong, for all that Callboard asks for the time of day."""

import subprocess
import sys

import pytest

from tests.chaos.crew import ROOT

HOUR = 3600

PROGRAM = """
import time
from datetime import UTC, datetime
from callboard.messages import codec, timing
from tests.chaos.clock import set_clock

def told():
    by_datetime = [module.datetime.now(UTC).timestamp() for module in (codec, timing)]
    return [time.time(), time.time_ns() / 1e9, *by_datetime]

right, steady = told(), time.monotonic()
set_clock({seconds})
wrong = told()
assert all(abs(w - r - {seconds}) < 60 for w, r in zip(wrong, right)), (right, wrong)
assert time.monotonic() - steady < 60
assert isinstance(datetime.now(UTC), codec.datetime)
assert timing.datetime.fromtimestamp(0, UTC) == datetime.fromtimestamp(0, UTC)
assert timing.read_after("1970-01-01T00:00:05Z", now=datetime.fromtimestamp(0, UTC))
"""


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_clock_is_set_wrong_by_an_hour_and_nothing_else_changes(seconds: int) -> None:
    program = PROGRAM.format(seconds=seconds)
    # In a process of its own, which no other test shares the clock with.
    subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, check=True)
