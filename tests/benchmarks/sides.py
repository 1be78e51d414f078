"""The same work as Callboard and as dramatiq have it: the apps that workers and publishers run."""

import asyncio
import time
from collections.abc import Sequence
from operator import and_
from typing import Literal

import dramatiq
import msgspec
from dramatiq.brokers.redis import RedisBroker

from callboard import Callboard, Dedup, Discard, Event, Retry
from callboard.actors.actor_options import ActorOptions
from callboard.actors.mailbox.mailbox import Settlement
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.messages.delivery import OutcomeKind

from .orders import OrderPlaced
from .rows import write_rows
from .tally import Tally

FIRST = 1029384756
"""The number of the first order."""

ORDER = (f"A-{FIRST}", "ann@example.org", 25.5)
"""What every event, and every message, carries beside the moment it is due."""

BATCH = 10_000
"""Events handed to one `publish_many`, for its receipts are kept until it returns."""


class NapWanted(Event, name="nap.wanted"):
    """Its handler keeps a thread."""

    seconds: float


class CallWanted(Event, name="call.wanted"):
    """Its handler waits on the event loop."""

    seconds: float


class WatchedMailbox(RedisMailbox):
    """The mailbox, telling the tally of what is durable."""

    def __init__(self, url: str, workspace: str, tally: Tally) -> None:
        super().__init__(url, workspace)
        self._tally = tally

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """See `Mailbox.settle`."""
        held = super().settle(settlements)
        done = [each.outcome.kind is OutcomeKind.SUCCEEDED for each in settlements]
        self._tally.settled(sum(map(and_, done, held)))
        return held


Policies = Literal["none", "stack", "measured", "ordered", "limited"]
"""What is said of the actor that takes orders."""


class Spec(msgspec.Struct, frozen=True):
    """What a worker process is to be."""

    side: str
    """`callboard` or `dramatiq`."""
    url: str
    workspace: str = "bench"
    actors: tuple[str, ...] = ("order",)
    """Of `order`, `nap`, `call`, and of `row` and `rows`, which write orders into SQLite."""
    spare_queues: int = 0
    """Queues beside the one that is used."""
    in_flight: int = 100
    threads: int = 8
    policies: Policies = "none"
    keys: int = 1
    """Entities that the orders are about."""


def order(due: float | None = None, number: int = 0) -> OrderPlaced:
    """An event; due now if nothing else is said."""
    _, email, total = ORDER
    return OrderPlaced(f"A-{FIRST + number}", email, total, time.monotonic() if due is None else due)


def _said(name: str, policies: Policies) -> ActorOptions:
    """What is said of the actor whose handler does nothing."""
    match policies:
        case "stack":
            unwanted = Discard(max_age="5h", max_attempts=9, when=lambda event: event.total < 0)
            retry = Retry.exponential(max_attempts=20, never_on=KeyError)
            dedup = Dedup(window="1d")
            return {"name": name, "timeout": "30s", "discard": unwanted, "retry": retry, "dedup": dedup}
        case "ordered":
            return {"name": name, "ordered": True}
        case "limited":
            return {"name": name, "concurrency": 100}
        case "none" | "measured":
            return {"name": name}


def callboard_app(spec: Spec, tally: Tally | None = None) -> Callboard:
    """The app on Callboard; a publisher needs no tally."""
    tally = tally or Tally(awaits_settlements=True)
    app = Callboard(
        "bench",
        mailbox=WatchedMailbox(spec.url, spec.workspace, tally),
        metrics="127.0.0.1:0" if spec.policies == "measured" else "none",
        in_flight=spec.in_flight,
    )
    if "order" in spec.actors:

        @app.actor(**_said("take_order", spec.policies))
        def take_order(event: OrderPlaced) -> None:
            tally.handled(event.due)

    if "row" in spec.actors or "rows" in spec.actors:
        write_rows(app, tally, batches="rows" in spec.actors)

    if "nap" in spec.actors:

        @app.actor(name="take_nap")
        def take_nap(event: NapWanted) -> None:
            tally.began()
            time.sleep(event.seconds)
            tally.ended()

    if "call" in spec.actors:

        @app.actor(name="make_call")
        async def make_call(event: CallWanted) -> None:
            tally.began()
            await asyncio.sleep(event.seconds)
            tally.ended()

    for number in range(spec.spare_queues):
        # It never gets anything: what it subscribes to is not published where there are spare queues.
        @app.actor(name=f"spare_{number}", queue=f"spare-{number}")
        def spare(event: NapWanted) -> None:
            del event

    return app


def dramatiq_actor(spec: Spec, tally: Tally | None = None) -> dramatiq.Actor[[str, str, float, float], None]:
    """The actor on dramatiq's own broker, with the defaults it comes with."""
    tally = tally or Tally(awaits_settlements=False)
    broker = RedisBroker(url=spec.url, namespace=spec.workspace)

    @dramatiq.actor(broker=broker, actor_name="take_order")
    def take_order(order_id: str, email: str, total: float, due: float) -> None:
        del order_id, email, total
        tally.handled(due)

    for number in range(spec.spare_queues):

        @dramatiq.actor(broker=broker, actor_name=f"spare_{number}", queue_name=f"spare-{number}")
        def spare() -> None:
            return

    return take_order


def publish_orders(app: Callboard, count: int, *, after: str | None = None, keys: int = 1) -> None:
    """Publish so many events in as few calls as `publish_many` makes of them."""
    while count > 0:
        some = min(count, BATCH)
        app.publish_many((order(number=number % keys) for number in range(some)), after=after)
        count -= some


def send_orders(actor: dramatiq.Actor[[str, str, float, float], None], count: int) -> None:
    """Send so many messages, one by one, as dramatiq has it."""
    for _ in range(count):
        actor.send(*ORDER, time.monotonic())
