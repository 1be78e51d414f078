"""How fast one worker process of 8 threads works off events whose handlers do nothing, all guarantees on."""

from functools import partial

from ..figures import Cost, Row, cost_row, rate_row, ratio_row
from ..ground import Ground, open_ground
from ..plan import Plan, interleave
from ..sides import Spec, callboard_app, dramatiq_actor, publish_orders, send_orders
from ..worker import WorkerProgram

GOAL = 10.0
"""Times dramatiq with prefetch 64."""

PREFETCH = {"dramatiq_queue_prefetch": "64"}


def run(plan: Plan) -> list[Row]:
    """Enqueue first, start the worker process then, and let it measure."""
    count = plan.pick(short=20_000, full=100_000)
    theirs = plan.pick(short=2_000, full=6_000)
    with open_ground(plan.server) as ground:
        takes = interleave(
            "process",
            plan.rounds(short=3, full=5),
            {
                "Callboard": partial(callboard_take, ground, count),
                "dramatiq": partial(dramatiq_take, ground, theirs, {}),
                "dramatiq, prefetch 64": partial(dramatiq_take, ground, theirs, PREFETCH),
            },
        )
    rates = {side: [take.per_second for take in each] for side, each in takes.items()}
    ours = rates["Callboard"]
    return [
        *(rate_row("process", f"{side}: no-op events", each) for side, each in rates.items()),
        ratio_row("process", "Callboard / dramatiq", ours, rates["dramatiq"], GOAL),
        ratio_row("process", "Callboard / dramatiq, prefetch 64", ours, rates["dramatiq, prefetch 64"], GOAL),
        *(cost_row("process", side, "worker", each) for side, each in takes.items()),
    ]


def callboard_take(ground: Ground, count: int, spec: Spec | None = None) -> Cost:
    """Callboard's side, from the first handler until the last settlement is durable."""
    ground.clear()
    spec = spec or Spec("callboard", ground.url)
    app = callboard_app(spec)
    publish_orders(app, count, keys=spec.keys)
    ground.settle_down()
    take = _worked(ground, spec, count, {})
    done = next(queue for queue in app.mailbox.info().queues if queue.queue == "default")
    app.close()
    if done.succeeded != count or done.ready or done.leased or done.takeovers:
        raise RuntimeError(f"{count} were published and handled, but the mailbox says {done}")
    return take


def dramatiq_take(ground: Ground, count: int, environment: dict[str, str]) -> Cost:
    """dramatiq's side, from the first handler to the last."""
    ground.clear()
    spec = Spec("dramatiq", ground.url)
    actor = dramatiq_actor(spec)
    send_orders(actor, count)
    actor.broker.close()
    ground.settle_down()
    return _worked(ground, spec, count, environment)


def _worked(ground: Ground, spec: Spec, count: int, environment: dict[str, str]) -> Cost:
    server = ground.cpu_seconds()
    with WorkerProgram(spec, environment) as worker:
        report = worker.until(count)
        server = ground.cpu_seconds() - server
    if report.handled != count:
        raise RuntimeError(f"{count} were enqueued, but {report.handled} handled")
    return Cost(report.per_second(count), report.cpu / count * 1e6, server / count * 1e6)
