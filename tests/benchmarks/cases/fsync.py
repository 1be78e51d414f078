"""What it costs that each acknowledgement waits for the disk: `appendfsync always` beside `everysec`."""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median

from callboard import Callboard

from ..figures import Cost, Row, milliseconds, rate_row
from ..ground import open_ground
from ..plan import Plan, interleave
from ..sides import Spec, callboard_app, order, publish_orders
from .process import callboard_take
from .publish import cost_of, one_by_one

PUBLISHERS = 32
"""Threads that publish side by side: their writes may share a wait."""

POLICIES = ("everysec", "always")

ONE_BY_ONE = "publish, one by one"
SIDE_BY_SIDE = f"publish, {PUBLISHERS} threads"
AT_ONCE = "publish_many"
PROCESS = "process"

LOOKS = 50
"""At the disk."""


def run(plan: Plan) -> list[Row]:
    """Both servers are up all the time; the one that is not measured is idle."""
    few = plan.pick(short=500, full=5_000)
    many = plan.pick(short=10_000, full=50_000)
    takes: dict[str, Callable[[], Cost]] = {}
    with ExitStack() as opened:
        for policy in POLICIES:
            ground = opened.enter_context(open_ground(plan.server, "--appendfsync", policy))
            app = callboard_app(Spec("callboard", ground.url))
            opened.callback(app.close)
            publishing = {
                ONE_BY_ONE: (partial(one_by_one, app.publish), few),
                SIDE_BY_SIDE: (partial(_side_by_side, app), few),
                AT_ONCE: (partial(publish_orders, app), many),
            }
            for what, (publish, count) in publishing.items():
                takes[f"{policy}: {what}"] = partial(cost_of, ground, publish, count)
            takes[f"{policy}: {PROCESS}"] = partial(callboard_take, ground, many)
        costs = interleave("fsync", plan.rounds(short=1, full=5), takes)
    rates = {label: [cost.per_second for cost in each] for label, each in costs.items()}
    disk = median(_disk_seconds() for _ in range(LOOKS))
    return [
        *(rate_row("fsync", label, each) for label, each in rates.items()),
        *(_share(what, rates) for what in (ONE_BY_ONE, SIDE_BY_SIDE, AT_ONCE, PROCESS)),
        Row("fsync", "the disk itself: write and fsync", milliseconds(disk)),
    ]


def _share(what: str, rates: Mapping[str, Sequence[float]]) -> Row:
    everysec, always = (median(rates[f"{policy}: {what}"]) for policy in POLICIES)
    return Row("fsync", f"always / everysec: {what}", f"{always / everysec:.2g}x")


def _disk_seconds() -> float:
    """How long a write of a few bytes takes to be on the disk where the servers keep their files."""
    with tempfile.TemporaryFile(prefix="callboard-bench-") as file:
        file.write(bytes(4096))
        os.fsync(file.fileno())
        began = time.monotonic()
        file.write(bytes(256))
        file.flush()
        os.fsync(file.fileno())
        return time.monotonic() - began


def _side_by_side(app: Callboard, count: int) -> None:
    def publish() -> None:
        for _ in range(-(-count // PUBLISHERS)):
            app.publish(order())

    threads = [threading.Thread(target=publish) for _ in range(PUBLISHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
