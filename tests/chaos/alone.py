"""Judges what was run alone: a handler that runs in its process meanwhile would share the blame."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf

from .observed import Run


def judge_alone(runs: Sequence[Run]) -> Iterable[str]:
    """Tell the runs that were alone in name only."""
    by_member: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_member[run.member].append(run)
    for those in by_member.values():
        for run in those:
            if run.alone and (other := next((each for each in those if _meet(run, each)), None)):
                yield (
                    f"not alone: {run.actor} of {run.token} ran with {other.actor} of {other.token} "
                    f"in {run.member} (fences {run.fence} and {other.fence})"
                )


def _meet(one: Run, other: Run) -> bool:
    """Whether two runs of one process overlap; one that never ended lasted as long as its process."""
    return one is not other and one.started < _end(other) and other.started < _end(one)


def _end(run: Run) -> float:
    return inf if run.ended is None else run.ended
