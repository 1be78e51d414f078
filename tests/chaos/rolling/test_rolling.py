"""Invariant I18: pools that are told to end under load lose nothing and charge nothing, and end in time.

`ROLLING_N` says how many restarts, `ROLLING_SEED` the seed.
"""

import os

import pytest

from tests.chaos.checker import check, summary_of
from tests.chaos.rolling.judge import judge_stops
from tests.chaos.rolling.play import POOLS, forget, roll

RESTARTS = int(os.environ.get("ROLLING_N", "5"))
SEED = int(os.environ.get("ROLLING_SEED", "8"))

A_FAIR_LOAD = 100
"""Deliveries for each restart, without which it has proved nothing."""


@pytest.mark.chaos
@pytest.mark.timeout(60 + 30 * RESTARTS)
def test_rolling_restarts_under_load_lose_nothing_charge_nothing_and_end_in_time() -> None:
    rolled = roll(SEED, RESTARTS)
    seen = rolled.seen
    verdict = check(seen)
    violations = [*verdict.violations, *judge_stops(seen, rolled.stops)]
    assert not violations, "\n".join([*summary_of(violations), f"kept: {rolled.directory}"])
    forget(rolled)
    assert len(rolled.stops) == RESTARTS + POOLS
    assert verdict.accepted > A_FAIR_LOAD * RESTARTS
    assert sum(queue.released for queue in seen.queues) > 0
    assert any(run.result == "cut" for run in seen.runs)
