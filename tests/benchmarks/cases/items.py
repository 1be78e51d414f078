"""What items cost: a worker's processor time for each, memory here and on the server, and beginning anew."""

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from statistics import median

import msgspec
import redis

from callboard.actors.attempt_items import AttemptItems
from callboard.actors.item_writer import ItemWriter
from callboard.actors.items import Items
from callboard.actors.mailbox.mailbox import MIN_WINDOW_MS, Posting, Target
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.delivery import NO_HISTORY, Delivery
from callboard.middleware.attempt import Attempt, Policy
from callboard.middleware.retry import DEFAULT_RETRY

from ..figures import Row, milliseconds
from ..ground import Ground, open_ground
from ..plan import Plan, interleave

MANY = 10_000
FEW = 100
SLOW_DOWN_GOAL = 1.5
"""Times as much that an item of 10,000 may cost as one of 100."""

POLICY = Policy("bench", {}, DEFAULT_RETRY)


def run(plan: Plan) -> list[Row]:
    """Of one event on a server, in one thread; what is written behind is so on another."""
    with open_ground(plan.server) as ground:
        takes = interleave(
            "items",
            plan.rounds(short=2, full=5),
            {
                "few": partial(_microseconds, ground, FEW, durable=False),
                "many": partial(_microseconds, ground, MANY, durable=False),
                "durable": partial(_microseconds, ground, FEW, durable=True),
                "again": partial(_seconds_again, ground),
                "server": partial(_server_bytes, ground),
                "worker": partial(_worker_bytes, ground),
            },
        )
    return _rows(takes)


def _rows(takes: dict[str, list[float]]) -> list[Row]:
    few, many = median(takes["few"]), median(takes["many"])
    return [
        _row(f"an item of {FEW}", f"{few:.2f} us", takes["few"]),
        _row(f"an item of {MANY:,}", f"{many:.2f} us", takes["many"]),
        Row(
            "items",
            "that is so many times as much",
            f"{many / few:.2f}",
            f"<= {SLOW_DOWN_GOAL:g}",
            many / few <= SLOW_DOWN_GOAL,
        ),
        _row("a durable item", f"{median(takes['durable']):.1f} us", takes["durable"]),
        _row(f"passing over {MANY:,} that are done", milliseconds(median(takes["again"])), takes["again"]),
        _row(f"the server's memory for an item of {MANY:,}", _bytes(takes["server"]), takes["server"]),
        _row(f"the worker's memory for an item of {MANY:,}", _bytes(takes["worker"]), takes["worker"]),
    ]


def _row(what: str, measured: str, samples: list[float]) -> Row:
    return Row("items", what, measured, samples={"each": samples})


def _bytes(samples: list[float]) -> str:
    return f"{median(samples):.0f} bytes"


class Scene(msgspec.Struct):
    """One delivery, and what its handler would be given."""

    mailbox: RedisMailbox
    delivery: Delivery
    writer: ItemWriter

    def loop(self, count: int, *, durable: bool = False) -> AttemptItems:
        """Go through items that take no time."""
        items = AttemptItems(Attempt(self.delivery, POLICY), self.writer, is_async=False)
        keys = [f"sku-{number:08}" for number in range(count)]
        for item in Items(keys, items, key=None, name="", durable=durable):
            with item:
                pass
        return items

    def finish(self, items: AttemptItems) -> None:
        """End the attempt, and wait until all is durable."""
        items.finish(lambda: None)
        while items.pending:
            time.sleep(0.001)


def _on_scene(ground: Ground, do: Callable[[Scene], float]) -> float:
    ground.clear()
    mailbox = RedisMailbox(ground.url, "bench")
    target = Target("bench", "default", "1", MIN_WINDOW_MS)
    mailbox.publish([Posting("catalog.changed", b"{}", b"0" * 16, (target,))])
    (delivery,) = mailbox.fetch("default", 1, owner="bench", lease_ms=600_000).deliveries
    writer = ItemWriter(lambda: mailbox.ledger)
    writer.start()
    try:
        return do(Scene(mailbox, delivery, writer))
    finally:
        writer.stop(10)
        mailbox.close()


def _microseconds(ground: Ground, count: int, *, durable: bool) -> float:
    """Processor time of this process for each item, until all are durable."""

    def do(scene: Scene) -> float:
        began = time.process_time()
        for _ in range(MANY // count):
            scene.finish(scene.loop(count, durable=durable))
        return (time.process_time() - began) / MANY * 1e6

    return _on_scene(ground, do)


def _seconds_again(ground: Ground) -> float:
    def do(scene: Scene) -> float:
        scene.finish(scene.loop(MANY))
        scene.delivery.history = msgspec.structs.replace(NO_HISTORY, items=True)
        began = time.process_time()
        again = scene.loop(MANY)
        took = time.process_time() - began
        if again.counts.skipped != MANY:
            raise RuntimeError(f"not all were passed over: {again.counts}")
        return took

    return _on_scene(ground, do)


def _server_bytes(ground: Ground) -> float:
    client = redis.Redis.from_url(ground.url)

    def do(scene: Scene) -> float:
        before = client.info("memory")["used_memory"]
        scene.finish(scene.loop(MANY))
        return float(client.info("memory")["used_memory"] - before) / MANY

    try:
        return _on_scene(ground, do)
    finally:
        client.close()


def _worker_bytes(ground: Ground) -> float:
    def do(scene: Scene) -> float:
        tracemalloc.start()
        try:
            items = scene.loop(MANY)
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        scene.finish(items)
        return held / MANY

    return _on_scene(ground, do)
