"""What single steps on a delivery's way cost, to see where the time goes."""

import itertools
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median

import hiredis
import msgspec
from msgspec.structs import replace

from callboard import Callboard, Context, MemoryMailbox
from callboard.actors.broker import CallboardBroker
from callboard.actors.buffer import Buffer, Waiting
from callboard.actors.mailbox.mailbox import MIN_WINDOW_MS, Mailbox, Posting, Settlement, Target
from callboard.actors.mailbox.redis.wire import publish_arguments, read_fetched, settle_arguments
from callboard.actors.prefetch import Prefetch
from callboard.actors.worker import WorkerProcess
from callboard.messages.codec import decode_envelope, encode
from callboard.messages.delivery import SUCCEEDED, Delivery, ServerClock
from callboard.messages.event_options import OptionsGiven, read_options
from callboard.middleware.attempt import Attempt, Policy
from callboard.middleware.dedup.memory import MemoryDedupStore
from callboard.middleware.dedup.option import Dedup
from callboard.middleware.discard import Discard
from callboard.middleware.guarded import Guarded, Handler
from callboard.middleware.retry import DEFAULT_RETRY
from callboard.middleware.stack import Stack, default_order
from callboard.observability.recorder import Recorder

from ..figures import Row
from ..orders import OrderPlaced
from ..plan import Plan, interleave
from ..sides import order

GROUP = 256
"""Deliveries in one call, as a busy worker fetches and settles them."""

ID = "01932f2e-5d3c-7c44-9d3a-1f0a2b3c4d5e"
QUEUE = "default"
LASTS = 0.1
"""Seconds each step is repeated for, about."""

RECORDED = f"Recorder.settled, of {GROUP}"
METRICS_GOAL_US = 3.0

LONGEST_TIMEOUT = 60.0
SAID: OptionsGiven = {"timeout": "10s", "max_attempts": 3, "give_up_after": "1d", "max_age": "5h"}
"""All that may be said of one event."""

Step = tuple[Callable[[], object], int]
"""What to do, and for how many deliveries that is."""


class Samples(msgspec.Struct, frozen=True):
    """What the steps work on."""

    app: Callboard
    guarded: Guarded
    bare: Guarded
    """The same without a context."""
    delivery: Delivery
    worker: WorkerProcess


def run(plan: Plan) -> list[Row]:
    """Microseconds for each delivery or event, in one thread, without a server."""
    samples = _samples()
    steps = _way_in(samples) | _handling(samples) | _policies(samples) | _metrics(samples) | _wire(samples)
    takes = {label: partial(_microseconds, *step) for label, step in steps.items()}
    results = interleave("micro", plan.rounds(short=2, full=5), takes)
    rows = [
        Row("micro", label, f"{median(each):.3f} us", samples={"us": each}) for label, each in results.items()
    ]
    return [*rows, _all_metrics(results)]


def _samples() -> Samples:
    mailbox = MemoryMailbox()
    app = Callboard("bench", mailbox=mailbox, metrics="none")

    @app.actor(name="with_context")
    def with_context(event: OrderPlaced, ctx: Context) -> None:
        del event, ctx

    @app.actor(name="bare")
    def bare(event: OrderPlaced) -> None:
        del event

    app.publish(order())
    delivery = _fetched(mailbox)
    worker = WorkerProcess(app.broker, mailbox, threads=8)
    return Samples(app, _guarded(app.broker, "with_context"), _guarded(app.broker, "bare"), delivery, worker)


def _fetched(mailbox: Mailbox) -> Delivery:
    fetched = mailbox.fetch(QUEUE, 2, owner="bench", lease_ms=30_000)
    return next(each for each in fetched.deliveries if each.actor == "bare")


def _guarded(broker: CallboardBroker, actor: str) -> Guarded:
    guarded = broker.guarded(actor)
    assert guarded is not None
    return guarded


def _way_in(samples: Samples) -> dict[str, Step]:
    event = order()
    body, fingerprint = samples.delivery.body, samples.delivery.fingerprint
    target = Target("bare", QUEUE, ID, MIN_WINDOW_MS)
    posting = Posting("order.placed", body, fingerprint, (target,), fresh=True)
    postings = [posting] * GROUP
    return {
        "make an event": (order, 1),
        "read what is said of one event": (lambda: read_options(SAID, LONGEST_TIMEOUT), 1),
        "encode": (lambda: encode(event, id=ID, source="bench"), 1),
        f"publish_arguments, of {GROUP}": (lambda: publish_arguments(postings, 1, again=False), GROUP),
        "pack them for the server": _packing(publish_arguments(postings, 1, again=False)),
    }


def _handling(samples: Samples) -> dict[str, Step]:
    catalog, delivery, worker = samples.app.catalog, samples.delivery, samples.worker
    envelope = decode_envelope(delivery.body)
    buffer, prefetch, waiting = Buffer(), Prefetch(0.0), Waiting(delivery, samples.bare)
    ticks = iter(range(1, 1 << 62))
    for _ in range(GROUP):
        buffer.add(waiting, 0)

    def through_buffer() -> None:
        buffer.add(waiting, 0)
        buffer.take()

    def perform_and_put() -> None:
        worker.perform(delivery, samples.bare)
        worker.settler._waiting.clear()

    return {
        "Buffer: add and take": (through_buffer, 1),
        "Prefetch.look": (lambda: prefetch.look((tick := next(ticks)) * 0.002, tick * 100), 1),
        "decode_envelope": (lambda: decode_envelope(delivery.body), 1),
        "catalog.read": (lambda: catalog.read(envelope), 1),
        "Guarded.perform, no-op": (lambda: samples.bare.perform(Attempt(delivery, samples.bare.policy)), 1),
        "Guarded.perform, no-op with ctx": (
            lambda: samples.guarded.perform(Attempt(delivery, samples.guarded.policy)),
            1,
        ),
        "WorkerProcess.perform, settlement put": (perform_and_put, 1),
    }


def _policies(samples: Samples) -> dict[str, Step]:
    """What each option costs a delivery that succeeds, each step with one more than the bare stack."""
    stack = Stack(default_order(samples.app.catalog))
    nothing = Policy("bare", {"order.placed": MIN_WINDOW_MS}, DEFAULT_RETRY)
    numbers = itertools.count()
    fresh = Dedup(store=MemoryDedupStore(), key=lambda _: str(next(numbers)))
    policies = {
        "no timeout": nothing,
        "no retry either": replace(nothing, retry=None),
        "timeout": replace(nothing, timeout=5.0),
        "discard by age": replace(nothing, discard=(Discard(max_age="5h"),)),
        "discard by attempts": replace(nothing, discard=(Discard(max_attempts=9),)),
        "discard by a predicate": replace(nothing, discard=(Discard(when=lambda _: False),)),
        "dedup in a MemoryDedupStore": replace(nothing, dedup=fresh),
    }

    def performing(policy: Policy, delivery: Delivery = samples.delivery) -> Callable[[], object]:
        handler = Handler(samples.bare.handler.invoke, policy)
        guarded = Guarded(handler, stack.layers_for(policy), stack.watch)
        return lambda: guarded.perform(Attempt(delivery, policy))

    samples.app.publish(order(), **SAID)
    said = _fetched(samples.app.mailbox)
    steps: dict[str, Step] = {f"stack: {label}": (performing(each), 1) for label, each in policies.items()}
    return steps | {
        "stack: timeout, and all that is said at publish": (performing(policies["timeout"], said), 1)
    }


def _metrics(samples: Samples) -> dict[str, Step]:
    """What metrics cost a delivery that succeeds: the layer, and the recording on the settler's thread."""
    policy = samples.bare.policy
    stack = Stack(default_order(samples.app.catalog, recorder=Recorder()))
    measured = Guarded(samples.bare.handler, stack.layers_for(policy), stack.watch)
    recorder = Recorder()
    recorder.declare(QUEUE, "bare", ["order.placed"])
    clock = ServerClock(time.time_ns() // 1_000_000, time.monotonic())
    deliveries = [replace(samples.delivery, clock=clock) for _ in range(GROUP)]
    for delivery in deliveries:
        measured.perform(Attempt(delivery, policy))
    group, held = [Settlement(each, SUCCEEDED) for each in deliveries], [True] * GROUP
    few = 8
    return {
        "stack: metrics": (lambda: measured.perform(Attempt(deliveries[0], policy)), 1),
        RECORDED: (lambda: recorder.settled(group, held), GROUP),
        f"Recorder.settled, of {few}": (lambda: recorder.settled(group[:few], held[:few]), few),
    }


def _all_metrics(results: Mapping[str, Sequence[float]]) -> Row:
    """What a worker pays for all metrics of a delivery that succeeds."""
    layer = median(results["stack: metrics"]) - median(results["stack: no timeout"])
    us = layer + median(results[RECORDED])
    goal = f"<= {METRICS_GOAL_US:g} us"
    return Row("micro", "all metrics of a delivery", f"{us:.2f} us", goal, us <= METRICS_GOAL_US)


def _wire(samples: Samples) -> dict[str, Step]:
    delivery = samples.delivery
    # An answer as the client hands it on: what precedes the deliveries, then three values of each.
    identity = delivery.id.encode()
    answer = [1, 1, 0, 0, -1, 0, b"", [0], *[identity, delivery.stored, None] * GROUP]
    settlements = [Settlement(delivery, SUCCEEDED)] * GROUP
    return {
        f"read_fetched, of {GROUP}": (lambda: read_fetched(answer, QUEUE, "worker", 0.0), GROUP),
        f"settle_arguments, of {GROUP}": (lambda: settle_arguments(settlements, 1), GROUP),
        "pack them for the server again": _packing(settle_arguments(settlements, 1)[0]),
    }


def _packing(arguments: Sequence[bytes | str | int]) -> Step:
    words = tuple(arguments)
    # Its stub says a tuple of one word where it takes a tuple of any length.
    return lambda: hiredis.pack_command(words), GROUP  # type: ignore[arg-type]  # see above


def _microseconds(do: Callable[[], object], deliveries: int) -> float:
    timer = timeit.Timer(do)
    once = max(timer.timeit(10) / 10, 1e-8)
    number = max(1, int(LASTS / once))
    return timer.timeit(number) / number / deliveries * 1e6
