"""Judges what goes by a clock: schedules and ages, which workers' own clocks must not touch."""

from collections.abc import Iterable, Sequence

from .observed import Publish, Run

EARLY_SECONDS = 0.05
"""How much two clocks of one machine may differ meanwhile."""

AGE_SECONDS = 30.0
"""How far from the truth an age may be: less than any clock is set wrong, and more than a call takes."""


def judge_timely(publishes: Sequence[Publish], runs: Sequence[Run]) -> Iterable[str]:
    """Tell the runs that began before their time, or were told a wrong age."""
    by_token = {publish.token: publish for publish in publishes}
    for run in runs:
        # Older than since its publish was asked it cannot be; a follow-up is younger than its cause.
        cause = by_token.get(run.token.rstrip(">"))
        if cause is None:
            continue
        since = run.started - cause.asked
        if since < cause.after - EARLY_SECONDS:
            yield f"early: {run.actor} of {run.token} after {since:.3f} s, not {cause.after:.3f}"
        if not -AGE_SECONDS < run.age < since + AGE_SECONDS:
            yield f"wrong age: {run.actor} of {run.token} was told {run.age:.0f} s after {since:.0f} s"
