"""What the stack, metrics and lanes leave of the rate: the same no-op events, with all that can be said."""

from functools import partial
from statistics import median

from ..figures import Cost, Row, cost_row, rate_row
from ..ground import Ground, open_ground
from ..plan import Plan, interleave
from ..sides import Policies, Spec
from .process import callboard_take

STACK_GOAL = METRICS_GOAL = 0.9
"""Times the rate without anything said, and without metrics."""

ORDERED_GOAL = 0.6

KEYS = 10_000
"""Entities that the events are about."""

SIDES: dict[str, Policies] = {
    "nothing said": "none",
    "the whole stack": "stack",
    "metrics on": "measured",
    f"ordered by {KEYS:,} keys": "ordered",
    "concurrency 100": "limited",
}


def run(plan: Plan) -> list[Row]:
    """All sides have the same events, so that they differ in what is said alone."""
    count = plan.pick(short=20_000, full=100_000)
    with open_ground(plan.server) as ground:
        takes: dict[str, list[Cost]] = interleave(
            "policies",
            plan.rounds(short=3, full=5),
            {name: partial(_take, ground, count, policies) for name, policies in SIDES.items()},
        )
    rates = {name: [take.per_second for take in each] for name, each in takes.items()}
    plain, stack, measured, ordered, _ = (median(each) for each in rates.values())
    return [
        *(rate_row("policies", name, each) for name, each in rates.items()),
        _ratio("the whole stack / nothing said", stack / plain, STACK_GOAL),
        _ratio("metrics on / nothing said", measured / plain, METRICS_GOAL),
        _ratio("ordered / nothing said", ordered / plain, ORDERED_GOAL),
        *(cost_row("policies", name, "worker", each) for name, each in takes.items()),
    ]


def _take(ground: Ground, count: int, policies: Policies) -> Cost:
    return callboard_take(ground, count, Spec("callboard", ground.url, policies=policies, keys=KEYS))


def _ratio(what: str, times: float, goal: float) -> Row:
    return Row("policies", what, f"{times:.2f}x", f">= {goal:g}x", times >= goal)
