"""Whether a handler that takes a second holds up those that do nothing, while a thread is free."""

import time
from functools import partial
from statistics import median

from callboard import Callboard

from ..figures import Row, milliseconds, percentile
from ..ground import Ground, open_ground
from ..plan import Plan, interleave
from ..sides import NapWanted, Spec, callboard_app, order
from ..worker import WorkerProgram

PACE = 400
"""Events a second; one in a hundred takes a second, so 4 or 5 of 8 threads are busy with those."""

ONE_IN = 100
NAP = 1.0
WARM_UP = 50

P99_GOAL = 0.005
"""Seconds by which the 99th percentile may be longer among slow handlers."""

LONGEST_GOAL = 0.1
"""Seconds a no-op may wait at most; behind a slow one it would wait half a second on average."""


def run(plan: Plan) -> list[Row]:
    """The same steady load with and without slow handlers; the wait is from publish to start."""
    count = PACE * plan.pick(short=4, full=8)
    with open_ground(plan.server) as ground:
        waits = interleave(
            "mix",
            plan.rounds(short=1, full=3),
            {
                "no-ops alone": partial(_take, ground, count, with_naps=False),
                "among slow ones": partial(_take, ground, count, with_naps=True),
            },
        )
    alone, mixed = waits["no-ops alone"], waits["among slow ones"]
    later = _p99(mixed) - _p99(alone)
    longest = max(max(each) for each in mixed)
    return [
        *(Row("mix", f"wait of no-ops: {label}", _told(each)) for label, each in waits.items()),
        Row(
            "mix",
            "p99 of no-ops, later among slow ones by",
            milliseconds(later),
            f"<= {milliseconds(P99_GOAL)}",
            later <= P99_GOAL,
            {label: [percentile(some, 0.99) for some in each] for label, each in waits.items()},
        ),
        Row(
            "mix",
            "longest wait of a no-op among slow ones",
            milliseconds(longest),
            f"<= {milliseconds(LONGEST_GOAL)}",
            longest <= LONGEST_GOAL,
            {label: [max(some) for some in each] for label, each in waits.items()},
        ),
    ]


def _take(ground: Ground, count: int, *, with_naps: bool) -> list[float]:
    ground.clear()
    spec = Spec("callboard", ground.url, actors=("order", "nap"))
    app = callboard_app(spec)
    with WorkerProgram(spec) as worker:
        for _ in range(WARM_UP):
            app.publish(order())
        worker.until(WARM_UP)
        _pace(app, count, with_naps=with_naps)
        report = worker.until(WARM_UP + count)
    app.close()
    return report.waits[WARM_UP:]


def _pace(app: Callboard, count: int, *, with_naps: bool) -> None:
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number / PACE - time.monotonic()))
        app.publish(NapWanted(NAP) if with_naps and number % ONE_IN == 0 else order())


def _p99(rounds: list[list[float]]) -> float:
    return median(percentile(waits, 0.99) for waits in rounds)


def _told(rounds: list[list[float]]) -> str:
    p50 = median(percentile(waits, 0.5) for waits in rounds)
    longest = max(max(waits) for waits in rounds)
    return f"p50 {milliseconds(p50)}, p99 {milliseconds(_p99(rounds))}, max {milliseconds(longest)}"
