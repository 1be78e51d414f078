"""Whether a worker is as fast with a million deliveries waiting as with ten thousand."""

from functools import partial
from statistics import median

from callboard import Callboard

from ..figures import Row, rate_row
from ..ground import Ground, open_ground
from ..plan import Plan, interleave
from ..sides import Spec, callboard_app, publish_orders
from ..worker import WorkerProgram

FEW = 10_000
GOAL = 0.9
"""Times the rate with few waiting."""


def run(plan: Plan) -> list[Row]:
    """Each workspace holds its number throughout; what is measured is put on top of it."""
    many = plan.pick(short=200_000, full=1_000_000)
    worked = plan.pick(short=20_000, full=50_000)
    with open_ground(plan.server) as ground:
        rates = interleave(
            "backlog",
            plan.rounds(short=3, full=5),
            {
                f"{FEW:,}": partial(_take, ground, "few", FEW, worked),
                f"{many:,}": partial(_take, ground, "many", many, worked),
            },
        )
    times = median(rates[f"{many:,}"]) / median(rates[f"{FEW:,}"])
    return [
        *(
            rate_row("backlog", f"no-op events with {waiting} waiting", each)
            for waiting, each in rates.items()
        ),
        Row(
            "backlog",
            f"rate with {many:,} waiting / with {FEW:,}",
            f"{times:.2f}x",
            f">= {GOAL:g}x",
            times >= GOAL,
        ),
    ]


def _take(ground: Ground, workspace: str, waiting: int, worked: int) -> float:
    spec = Spec("callboard", ground.url, workspace)
    app = callboard_app(spec)
    publish_orders(app, waiting + worked - _ready(app))
    app.close()
    ground.settle_down()
    with WorkerProgram(spec) as worker:
        return worker.until(worked).per_second(worked)


def _ready(app: Callboard) -> int:
    return sum(queue.ready for queue in app.mailbox.info().queues)
