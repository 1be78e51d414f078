"""Judges rolling restarts: no stop costs a lease, an attempt, the order of a lane or much time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tests.chaos.observed import Observed, Run

from .pool import EXIT_CODES, SUPERVISOR_SECONDS, Stop
from .side import lane_of, number_of


def judge_stops(seen: Observed, stops: Sequence[Stop]) -> list[str]:
    """Tell what should not have been, besides what the checker of chaos finds."""
    return [*_late(stops), *_taken_over(seen), *_charged_at_first(seen.runs), *_out_of_order(seen.runs)]


def _late(stops: Iterable[Stop]) -> Iterable[str]:
    for stop in stops:
        if stop.seconds >= SUPERVISOR_SECONDS:
            yield f"killed: {stop.pool} has not ended {stop.seconds:.1f} s after it was told to ({stop.how})"
        elif stop.code != EXIT_CODES[stop.how]:
            yield f"exit code {stop.code}: {stop.pool} ({stop.how})"


def _taken_over(seen: Observed) -> Iterable[str]:
    """What a worker holds when it stops is settled or given back: nobody has to wait for a lease to end."""
    for queue in seen.queues:
        if queue.takeovers or queue.fenced:
            yield f"left behind: {queue.queue} has {queue.takeovers} takeovers and {queue.fenced} fenced off"


def _charged_at_first(runs: Iterable[Run]) -> Iterable[str]:
    """What was handed out and given back before it began is charged nothing."""
    first: dict[tuple[str, str], Run] = {}
    for run in runs:
        known = first.get((run.actor, run.key))
        if known is None or run.fence < known.fence:
            first[run.actor, run.key] = run
    for run in first.values():
        # An item may be come to for the first time in a later attempt.
        if run.attempt > 1 and "/" not in run.actor:
            yield f"charged before it began: {run.actor} of {run.token} begins with attempt {run.attempt}"


def _out_of_order(runs: Iterable[Run]) -> Iterable[str]:
    """Those of a lane run one after another, as they were published."""
    lanes: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        if run.actor == "ordered":
            lanes[lane_of(run.token)].append(run)
    for those in lanes.values():
        those.sort(key=lambda run: run.started)
        for one, other in pairwise(those):
            is_later = number_of(one.token) < number_of(other.token)
            if not is_later or one.ended is None or other.started < one.ended:
                yield f"out of order: {other.token} after {one.token}"
