"""How fast events are published, one by one and many at once, against dramatiq's `send`."""

import time
from collections.abc import Callable
from functools import partial

from ..figures import Cost, Row, cost_row, rate_row, ratio_row
from ..ground import Ground, open_ground
from ..plan import Plan, interleave
from ..sides import Spec, callboard_app, dramatiq_actor, order, publish_orders, send_orders

MANY_GOAL = 10.0
ONE_GOAL = 1.0
WARM_UP = 20

LABELS = {
    "publish_many": "Callboard: publish_many",
    "publish": "Callboard: publish, one by one",
    "send": "dramatiq: send, one by one",
}


def run(plan: Plan) -> list[Row]:
    """Nobody works meanwhile; making the events and messages counts."""
    many = plan.pick(short=20_000, full=50_000)
    few = plan.pick(short=2_000, full=5_000)
    with open_ground(plan.server) as ground:
        app = callboard_app(Spec("callboard", ground.url))
        actor = dramatiq_actor(Spec("dramatiq", ground.url))
        costs = interleave(
            "publish",
            plan.rounds(short=3, full=5),
            {
                "publish_many": partial(cost_of, ground, partial(publish_orders, app), many),
                "send": partial(cost_of, ground, partial(send_orders, actor), few),
                "publish": partial(cost_of, ground, lambda count: one_by_one(app.publish, count), few),
            },
        )
        app.close()
        actor.broker.close()
    rates = {label: [cost.per_second for cost in each] for label, each in costs.items()}
    return [
        *(rate_row("publish", LABELS[label], each) for label, each in rates.items()),
        ratio_row("publish", "publish_many / send", rates["publish_many"], rates["send"], MANY_GOAL),
        ratio_row("publish", "publish / send", rates["publish"], rates["send"], ONE_GOAL),
        *(cost_row("publish", LABELS[label], "publisher", each) for label, each in costs.items()),
    ]


def cost_of(ground: Ground, publish: Callable[[int], None], count: int) -> Cost:
    """What publishing so many comes to, on an empty ground."""
    ground.clear()
    publish(WARM_UP)
    server, ours, began = ground.cpu_seconds(), time.process_time(), time.monotonic()
    publish(count)
    lasted = time.monotonic() - began
    ours, server = time.process_time() - ours, ground.cpu_seconds() - server
    return Cost(count / lasted, ours / count * 1e6, server / count * 1e6)


def one_by_one(publish: Callable[..., object], count: int) -> None:
    """Publish so many orders, each when the one before is accepted."""
    for _ in range(count):
        publish(order())
