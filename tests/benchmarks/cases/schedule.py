"""Whether deliveries scheduled far ahead cost the workers memory, or delay those that are due soon."""

import time
from functools import partial
from statistics import median

import msgspec

from ..figures import Row, milliseconds, percentile
from ..ground import Ground, open_ground
from ..plan import Plan, interleave
from ..sides import Spec, callboard_app, order, publish_orders
from ..worker import WorkerProgram

FAR = 100_000
AHEAD = "30 days"
SOON_MS = 300
WARM_UP = 2_000
SPACING = 0.02
"""Seconds between two that are due soon."""

MEMORY_GOAL_KIB = 4096
"""What two runs of the same differ by; held in memory they would take some 100 MiB."""

LATER_GOAL = 0.005
"""Seconds by which the 99th percentile of what is due soon may be later."""


class Take(msgspec.Struct, frozen=True):
    """One run."""

    rss_kib: int
    late: list[float]
    """Seconds from being due to the start of the handler."""


def run(plan: Plan) -> list[Row]:
    """Two workspaces, alike but for what is scheduled."""
    near = plan.pick(short=60, full=150)
    with open_ground(plan.server) as ground:
        app = callboard_app(Spec("callboard", ground.url, "far"))
        publish_orders(app, FAR, after=AHEAD)
        app.close()
        ground.settle_down()
        takes = interleave(
            "schedule",
            plan.rounds(short=2, full=3),
            {"none": partial(_take, ground, "none", near), "far": partial(_take, ground, "far", near)},
        )
    return _rows(takes["none"], takes["far"])


def _rows(none: list[Take], far: list[Take]) -> list[Row]:
    memory = {"none": [float(take.rss_kib) for take in none], "far": [float(take.rss_kib) for take in far]}
    p99 = {"none": [_p99(take) for take in none], "far": [_p99(take) for take in far]}
    p50 = median(percentile(take.late, 0.5) for take in far)
    more = median(memory["far"]) - median(memory["none"])
    later = median(p99["far"]) - median(p99["none"])
    return [
        Row(
            "schedule",
            f"memory of a worker, more with {FAR:,} a month ahead by",
            f"{more / 1024:.1f} MiB",
            f"<= {MEMORY_GOAL_KIB / 1024:.1f} MiB",
            more <= MEMORY_GOAL_KIB,
            memory,
        ),
        Row(
            "schedule",
            f"started after it was due, with {FAR:,} ahead",
            f"p50 {milliseconds(p50)}, p99 {milliseconds(median(p99['far']))}",
        ),
        Row(
            "schedule",
            "p99 of that, later than with none ahead by",
            milliseconds(later),
            f"<= {milliseconds(LATER_GOAL)}",
            later <= LATER_GOAL,
            p99,
        ),
    ]


def _p99(take: Take) -> float:
    return percentile(take.late, 0.99)


def _take(ground: Ground, workspace: str, near: int) -> Take:
    spec = Spec("callboard", ground.url, workspace)
    app = callboard_app(spec)
    with WorkerProgram(spec) as worker:
        publish_orders(app, WARM_UP)
        worker.until(WARM_UP)
        for _ in range(near):
            app.publish(order(time.monotonic() + SOON_MS / 1000), after=SOON_MS)
            time.sleep(SPACING)
        report = worker.until(WARM_UP + near)
    app.close()
    return Take(report.rss_kib, report.waits[WARM_UP:])
