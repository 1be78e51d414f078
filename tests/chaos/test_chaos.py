"""A few short rounds of chaos; `CHAOS_N` says how many, `CHAOS_SEED` the seed of the first."""

import os
import shutil

import pytest

from tests.chaos.checker import check, summary_of
from tests.chaos.report import again
from tests.chaos.rounds import Plan, play

ROUNDS = int(os.environ.get("CHAOS_N", "2"))
FIRST_SEED = int(os.environ.get("CHAOS_SEED", "3"))

A_FAIR_LOAD = 100
"""Deliveries without which a round has proved nothing."""


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + ROUNDS))
def test_whatever_is_killed_nothing_is_lost_stuck_or_done_twice_without_a_reason(seed: int) -> None:
    played = play(Plan(seed))
    verdict = check(played.seen)
    told = "\n".join(
        [*summary_of(verdict.violations), f"again: {again(played)}", f"kept: {played.directory}"]
    )
    assert not verdict.violations, told
    shutil.rmtree(played.directory)
    assert verdict.accepted > A_FAIR_LOAD
    assert played.faults
