"""Judges how soon what a killed worker held is started again, in a round of such kills alone (I14)."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from .checker import Verdict, check
from .rounds import Played

SLACK_SECONDS = 2.0
"""How long after the end of its lease a delivery is started again at the latest, while workers live."""


def judge(played: Played) -> Verdict:
    """What became of a round; where nothing but kills happened, also how soon they were mended."""
    verdict = check(played.seen)
    if not played.plan.kills:
        return verdict
    slow = judge_recoveries(verdict.repeats.recoveries, played.plan.lease_ms / 1000)
    return replace(verdict, violations=(*verdict.violations, *slow))


def judge_recoveries(seconds: Sequence[float], lease: float) -> Iterable[str]:
    """Tell the recoveries that took longer than a lease and the slack, all in seconds."""
    for each in seconds:
        if each > lease + SLACK_SECONDS:
            yield f"recovered late: after {each:.2f} s, with a lease of {lease:g} s"
