"""What an idle worker costs the server, and how soon it starts on what is published to it."""

import random
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import msgspec

from ..figures import Row, milliseconds, percentile
from ..ground import Ground, open_ground
from ..plan import Plan, interleave
from ..sides import ORDER, Spec, callboard_app, dramatiq_actor, order
from ..worker import WorkerProgram

P50_GOAL = 0.002
P99_GOAL = 0.005
COMMANDS_GOAL = 2.0
"""Commands a second for each idle queue."""

SPARE_QUEUES = 3
WARM_UP = 20
CALMS_DOWN = 2.0
"""Seconds after which a worker that has nothing to do is as idle as it gets."""

WATCHED = 10.0
"""Seconds an idle worker is watched: as long as its slowest habit takes to come round."""

OUR_PAUSES = (0.02, 0.05)
"""Shortest and longest pause between two events, in seconds: it is idle again by then."""

THEIR_PAUSES = (0.2, 1.2)
"""Longer than dramatiq's longest pause between two looks, so that all its phases are met."""


class Take(msgspec.Struct, frozen=True):
    """One run of one side."""

    waits: list[float]
    """Seconds from publish to handler."""
    commands: float
    """A second, for each queue."""


def run(plan: Plan) -> list[Row]:
    """One event at a time, by a publisher in another process than the worker."""
    ours, theirs = plan.pick(short=150, full=300), plan.pick(short=10, full=20)
    with open_ground(plan.server) as ground:
        takes = interleave(
            "idle",
            plan.rounds(short=1, full=3),
            {
                "Callboard": partial(_callboard_take, ground, ours),
                "dramatiq": partial(_dramatiq_take, ground, theirs),
            },
        )
    waits = {side: [wait for take in each for wait in take.waits] for side, each in takes.items()}
    commands = {side: [take.commands for take in each] for side, each in takes.items()}
    rows = [_wait_row(waits["Callboard"], share, goal) for share, goal in ((0.5, P50_GOAL), (0.99, P99_GOAL))]
    load = median(commands["Callboard"])
    return [
        *rows,
        Row(
            "idle",
            "dramatiq: publish to handler, p50",
            milliseconds(percentile(waits["dramatiq"], 0.5)),
            samples={"seconds": waits["dramatiq"]},
        ),
        Row(
            "idle",
            "Callboard: commands a second for an idle queue",
            f"{load:.2f}",
            f"<= {COMMANDS_GOAL:g}",
            load <= COMMANDS_GOAL,
            {"commands": commands["Callboard"]},
        ),
        Row(
            "idle",
            "dramatiq: commands a second for an idle queue",
            f"{median(commands['dramatiq']):.2f}",
            samples={"commands": commands["dramatiq"]},
        ),
    ]


def _wait_row(waits: list[float], share: float, goal: float) -> Row:
    wait = percentile(waits, share)
    what = f"Callboard: publish to handler, p{share * 100:.0f} of {len(waits)}"
    samples = {"seconds": waits} if share == 0.5 else {}
    return Row("idle", what, milliseconds(wait), f"<= {milliseconds(goal)}", wait <= goal, samples)


def _callboard_take(ground: Ground, count: int) -> Take:
    ground.clear()
    spec = Spec("callboard", ground.url, spare_queues=SPARE_QUEUES)
    app = callboard_app(spec)
    take = _take(ground, spec, lambda: app.publish(order()), count, OUR_PAUSES)
    app.close()
    return take


def _dramatiq_take(ground: Ground, count: int) -> Take:
    ground.clear()
    spec = Spec("dramatiq", ground.url, spare_queues=SPARE_QUEUES)
    actor = dramatiq_actor(spec)
    take = _take(ground, spec, lambda: actor.send(*ORDER, time.monotonic()), count, THEIR_PAUSES)
    actor.broker.close()
    return take


def _take(
    ground: Ground, spec: Spec, publish: Callable[[], object], count: int, pauses: tuple[float, float]
) -> Take:
    with WorkerProgram(spec) as worker:
        for _ in range(WARM_UP):
            publish()
        worker.until(WARM_UP)
        time.sleep(CALMS_DOWN)
        commands = _commands_a_second(ground)
        for _ in range(count):
            publish()
            time.sleep(random.uniform(*pauses))  # noqa: S311 - no secret: it only keeps out of step
        report = worker.until(WARM_UP + count)
    return Take(report.waits[WARM_UP:], commands / (1 + SPARE_QUEUES))


def _commands_a_second(ground: Ground) -> float:
    before = ground.commands()
    began = time.monotonic()
    time.sleep(WATCHED)
    # The first question counts itself when it has been answered.
    return (ground.commands() - before - 1) / (time.monotonic() - began)
