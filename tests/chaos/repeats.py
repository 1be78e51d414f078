"""Judges handlers that started more than once: planned, explained by a fault, or neither."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from .observed import Disturbance, Run
from .pulse import SILENCE

COSTS_A_LEASE = {
    "kill worker",
    "trap",
    "stop worker",
    "kill server",
    "stop server",
    "stop server for long",
    "load server",
    "black hole",
    "read only",
    "forbid",
    "stall",
    SILENCE,
}
"""What keeps a worker from renewing or settling for longer than a lease. A reply that was cut off, a
broken connection, forgotten scripts, a full server or an orderly end explain nothing."""

KILLS = {"kill worker", "trap"}

END_POOL = "end pool"
"""An orderly end, from the signal to the exit: it explains only what was cut off, and costs no attempt."""

OF_SERVER = {
    "kill server",
    "stop server",
    "stop server for long",
    "load server",
    "read only",
    "forbid",
    SILENCE,
}

REACH_SECONDS = 1.0
"""How long before a handler started what explains its lost lease may have ended: the lease it was
fetched with ran out while it waited in a buffer, or the settler paused after an error."""


class Repeats(msgspec.Struct, frozen=True):
    """What was started more than once, apart from planned retries."""

    explained: int
    """Effects done again, where a fault had cost the first start its lease."""
    unexplained: int
    """Starts again that nothing explains."""
    interrupted: int
    """Starts again of what had not been done."""
    recoveries: tuple[float, ...]
    """Seconds from the kill of a worker until each delivery it ran was started elsewhere, sorted."""
    disturbed: tuple[float, ...]
    """The same where the server was not well meanwhile."""
    in_turn: tuple[float, ...]
    """The same of what was lost before, and had to wait for its turn to run alone."""


def _is_planned(first: Run, second: Run, disturbances: Sequence[Disturbance]) -> bool:
    """Whether a start is the retry of one that failed.

    It may be charged further attempts that were never seen to start: the retry was taken over once,
    which is charged nothing, and each charge after that is a worker that was lost while it held it alone.
    """
    charged = second.attempt - first.attempt - 1
    begun = first.started if first.ended is None else first.ended
    losses = sum(
        each.kind in COSTS_A_LEASE and begun <= each.start <= second.started for each in disturbances
    )
    return charged == 0 or 0 < charged < losses


def judge_repeats(runs: Sequence[Run], disturbances: Sequence[Disturbance]) -> tuple[Repeats, list[str]]:
    """Count what was started again, and tell what should not have been."""
    explained = interrupted = 0
    faults: list[str] = []
    recoveries: dict[str, list[float]] = {"recoveries": [], "disturbed": [], "in_turn": []}
    for first, second in _pairs(runs):
        if first.fence and first.fence == second.fence:
            faults.append(f"one lease started twice: {_name(second)} fence {first.fence}")
            continue
        if first.result == "failed" and _is_planned(first, second, disturbances):
            continue
        causes = [each for each in disturbances if _explains(each, first, second)]
        if not causes:
            faults.append(f"started again without a reason: {_name(second)} {_story(first, second)}")
        elif first.result == "done":
            explained += 1
        else:
            interrupted += 1
        faults += _judge_charge(first, second, disturbances)
        killed_at = next((each.end for each in causes if each.kind in KILLS), None)
        if killed_at is not None and second.started > killed_at:
            meanwhile = any(
                d.kind in OF_SERVER and _overlaps(d, killed_at, second.started) for d in disturbances
            )
            which = "disturbed" if meanwhile else "in_turn" if second.alone else "recoveries"
            recoveries[which].append(second.started - killed_at)
    unexplained = sum(fault.startswith("started again") for fault in faults)
    times = {which: tuple(sorted(seconds)) for which, seconds in recoveries.items()}
    return Repeats(explained, unexplained, interrupted, **times), faults


def _pairs(runs: Iterable[Run]) -> Iterable[tuple[Run, Run]]:
    """Each run of a delivery with the next, in the order of their leases."""
    deliveries: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        deliveries[run.actor, run.key].append(run)
    for those in deliveries.values():
        those.sort(key=lambda run: (run.fence, run.started))
        yield from pairwise(those)


def _explains(cause: Disturbance, first: Run, second: Run) -> bool:
    """Whether a disturbance may have cost the first of two runs its lease, or cut it off."""
    if cause.kind == END_POOL:
        is_cut = first.result == "cut" and first.ended is not None and cause.member == first.member
        return is_cut and cause.start <= (first.ended or 0.0) <= cause.end
    if cause.kind not in COSTS_A_LEASE or cause.member not in {None, first.member}:
        return False
    # The holder of the older lease may start after the other, having been stopped in between.
    begin = min(first.started, second.started) - REACH_SECONDS
    return _overlaps(cause, begin, max(first.started, second.started))


def _overlaps(cause: Disturbance, begin: float, end: float) -> bool:
    return cause.start <= end and cause.end >= begin


def _judge_charge(first: Run, second: Run, disturbances: Sequence[Disturbance]) -> Iterable[str]:
    """Only what failed, or was lost while it ran alone, may be charged.

    A delivery may have been fetched alone in between, by any worker, and lost before it started: that
    takes another disturbance than the one that cost the first run its lease.
    """
    charged = second.attempt - first.attempt - (first.result == "failed")
    between = [
        each
        for each in disturbances
        if each.kind in COSTS_A_LEASE and _overlaps(each, first.started, second.started)
    ]
    if charged > int(first.alone) + max(0, len(between) - 1):
        yield f"charged for what it did not do: {_name(second)} {_story(first, second)}"


def _name(run: Run) -> str:
    return f"{run.actor} of {run.token}"


def _story(first: Run, second: Run) -> str:
    return " then ".join(
        f"[{run.member} attempt {run.attempt} fence {run.fence}{' alone' if run.alone else ''} {run.result} "
        f"{run.started:.3f}-{run.ended or 0:.3f}]"
        for run in (first, second)
    )
