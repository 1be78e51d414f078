"""Whether a thousand `async def` handlers wait at the same time in one process."""

from functools import partial
from statistics import median

from ..figures import Row
from ..ground import Ground, open_ground
from ..plan import Plan, interleave
from ..sides import CallWanted, Spec, callboard_app
from ..tally import Report
from ..worker import WorkerProgram

COUNT = 1_000
WAITS = 0.1
"""Seconds each handler waits."""

GOAL = 0.5
"""Seconds in all, from the first start until all are settled."""


def run(plan: Plan) -> list[Row]:
    """Publish first, start the worker process then, and let it measure."""
    with open_ground(plan.server) as ground:
        takes = interleave("async", plan.rounds(short=3, full=5), {"calls": partial(_take, ground)})["calls"]
    lasted = [take.settled - take.first for take in takes]
    handled = [take.last - take.first for take in takes]
    return [
        Row(
            "async",
            f"{COUNT:,} handlers that wait {WAITS * 1000:.0f} ms: from first start until all settled",
            f"{median(lasted):.3f} s",
            f"<= {GOAL:g} s",
            median(lasted) <= GOAL,
            {"settled": lasted, "handled": handled},
        ),
        Row("async", "the same until the last handler ended", f"{median(handled):.3f} s"),
        Row("async", "threads of the process meanwhile", f"{max(take.threads for take in takes)}"),
    ]


def _take(ground: Ground) -> Report:
    ground.clear()
    spec = Spec("callboard", ground.url, actors=("call",), in_flight=COUNT)
    app = callboard_app(spec)
    app.publish_many([CallWanted(WAITS)] * COUNT)
    app.close()
    with WorkerProgram(spec) as worker:
        return worker.until(COUNT)
