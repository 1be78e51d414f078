"""A few short rounds of chaos; `CHAOS_N` says how many, `CHAOS_SEED` the seed of the first."""

import os
import shutil

import pytest

from tests.chaos.checker import Verdict, summary_of
from tests.chaos.recovery import judge
from tests.chaos.report import again
from tests.chaos.rounds import Plan, Played, play

ROUNDS = int(os.environ.get("CHAOS_N", "2"))
FIRST_SEED = int(os.environ.get("CHAOS_SEED", "3"))

KILLS = 5
"""Of workers in turn."""

A_FAIR_LOAD = 100
"""Deliveries without which a round has proved nothing."""


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + ROUNDS))
def test_whatever_is_killed_nothing_is_lost_stuck_or_done_twice_without_a_reason(seed: int) -> None:
    played = play(Plan(seed))
    verdict = judge(played)
    _assert_kept(played, verdict)
    assert verdict.accepted > A_FAIR_LOAD
    assert played.faults


@pytest.mark.chaos
def test_what_a_killed_worker_held_starts_again_within_a_lease_and_two_seconds() -> None:
    """Invariant I14; `python -m tests.chaos --rounds 30 --kills 10` plays it for longer."""
    played = play(Plan(FIRST_SEED, kills=KILLS))
    verdict = judge(played)
    _assert_kept(played, verdict)
    assert len(played.faults) == KILLS
    assert len(verdict.repeats.recoveries) >= KILLS


def _assert_kept(played: Played, verdict: Verdict) -> None:
    told = [*summary_of(verdict.violations), f"again: {again(played)}", f"kept: {played.directory}"]
    assert not verdict.violations, "\n".join(told)
    shutil.rmtree(played.directory)
