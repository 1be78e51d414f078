"""What a batch handler gains where a commit costs more than a row: orders written into SQLite."""

from functools import partial

from ..figures import Cost, Row, cost_row, rate_row, ratio_row
from ..ground import Ground, open_ground
from ..plan import Plan, interleave
from ..sides import Spec
from .process import callboard_take

GOAL = 5.0
"""Times the rate of one by one."""

SINGLE, BATCHED = "a commit for each order", "a commit for each batch of 100"


def run(plan: Plan) -> list[Row]:
    """The same orders into the same table; what differs is how many go into one transaction."""
    single = plan.pick(short=1_000, full=5_000)
    batched = plan.pick(short=10_000, full=50_000)
    with open_ground(plan.server) as ground:
        takes: dict[str, list[Cost]] = interleave(
            "batch",
            plan.rounds(short=3, full=5),
            {
                SINGLE: partial(_take, ground, single, "row"),
                BATCHED: partial(_take, ground, batched, "rows"),
            },
        )
    rates = {name: [take.per_second for take in each] for name, each in takes.items()}
    return [
        *(rate_row("batch", name, each) for name, each in rates.items()),
        ratio_row("batch", f"{BATCHED} / {SINGLE}", rates[BATCHED], rates[SINGLE], GOAL),
        *(cost_row("batch", name, "worker", each) for name, each in takes.items()),
    ]


def _take(ground: Ground, count: int, actor: str) -> Cost:
    return callboard_take(ground, count, Spec("callboard", ground.url, actors=(actor,)))
