"""The load as a Callboard app: contracts, actors and a real worker."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Literal

import dramatiq

from callboard import (
    Batch,
    BatchContext,
    Callboard,
    CallboardError,
    Context,
    DiscardEvent,
    Event,
    RejectEvent,
    Retry,
)
from callboard.actors.context import EventContext
from callboard.actors.mailbox.infos import MailboxInfo
from callboard.actors.mailbox.keys import OF_WORKSPACE, root_of
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.scripts import Script
from callboard.messages.delivery import OutcomeKind
from callboard.messages.errors import MailboxUnavailable
from callboard.messages.stored import HEADER_SIZE

from .effects import Effects
from .faults import CALLS
from .load import (
    EVENTS,
    FATAL,
    FOLLOW,
    MINE,
    MINES,
    QUEUES,
    SLOW_SECONDS,
    Failed,
    Place,
    Refused,
    Unsure,
    follow_up_of,
)
from .observed import Record

WORKSPACE = "chaos"
SOCKET_SECONDS = 1.0
"""How long a call waits for the server: scaled down like the lease."""

MOST_RECORDS = 100_000


class Quick(Event, name="chaos.quick"):
    """For two actors that do nothing."""

    token: str


class Slow(Event, name="chaos.slow"):
    """For one that takes its time."""

    token: str


class Flaky(Event, name="chaos.flaky"):
    """For one that fails at first."""

    token: str


class Cause(Event, name="chaos.cause"):
    """For one that publishes a `FollowUp`."""

    token: str


class FollowUp(Event, name="chaos.follow-up"):
    """Published by a handler."""

    token: str


class Waiting(Event, name="chaos.waiting"):
    """For one that runs on the event loop."""

    token: str


class Doomed(Event, name="chaos.doomed"):
    """For one that publishes a `FollowUp` and then rejects the event."""

    token: str


class Dropped(Event, name="chaos.dropped"):
    """For one that discards it."""

    token: str


class Mine(Event, name="chaos.mine"):
    """For one that may end its process."""

    token: str


class Batched(Event, name="chaos.batched"):
    """For one that takes many at once."""

    token: str


class Mines(Event, name="chaos.mines"):
    """For one that takes many at once and may end its process."""

    token: str


CONTRACTS: dict[
    str, type[Quick | Slow | Flaky | Cause | Waiting | Doomed | Dropped | Mine | Batched | Mines]
] = {
    "quick": Quick,
    "slow": Slow,
    "flaky": Flaky,
    "cause": Cause,
    "waiting": Waiting,
    "doomed": Doomed,
    "dropped": Dropped,
    "batched": Batched,
    MINE: Mine,
    MINES: Mines,
}


class CallboardSide:
    """Callboard under test."""

    events: Sequence[str] = tuple(EVENTS)
    contracts: Mapping[str, Callable[[str], Event]] = CONTRACTS
    """What makes an event of each kind with a token."""
    grace = "3s"

    def __init__(self, place: Place, effects: Effects | None) -> None:
        self._threads = place.threads
        self._effects = effects
        mailbox = RedisMailbox(place.url, WORKSPACE, socket_timeout=SOCKET_SECONDS)
        self.app = Callboard(
            "chaos",
            mailbox=mailbox,
            lease=f"{place.lease_ms}ms",
            # A clock that is an hour off must not make an event too old.
            retry=Retry.every("100ms", give_up_after="30 minutes"),
            grace=self.grace,
        )
        self._worker: dramatiq.Worker | None = None
        _declare_threaded(self.app, self)
        _declare_others(self.app, self)
        _declare_batches(self.app, self)

    def run(self, token: str, ctx: EventContext) -> AbstractContextManager[None]:
        """Around what a handler does."""
        assert self._effects is not None, "only workers run handlers"
        delivery = ctx._attempt.delivery
        return self._effects.run(
            token,
            ctx.actor,
            delivery.key,
            fence=ctx.fence,
            attempt=ctx.attempt,
            alone=delivery.alone,
            age=ctx.age().total_seconds(),
        )

    def publish(self, event: str, tokens: Sequence[str], *, keyed: bool, after_ms: int) -> None:
        """See `Side.publish`."""
        try:
            self.app.publish_many(
                [self.contracts[event](token) for token in tokens],
                after=after_ms or None,
                dedup_key=_token_of if keyed else None,
            )
        except MailboxUnavailable as error:
            raise Unsure(str(error)) from error
        except CallboardError as error:
            raise Refused(str(error)) from error

    def start(self) -> None:
        """See `Side.start`."""
        self._worker = dramatiq.Worker(self.app.broker, worker_threads=self._threads)
        self._worker.start()

    def stop(self) -> None:
        """See `Side.stop`."""
        if self._worker is not None:
            self._worker.stop()
        self.app.close()


def _token_of(event: Event) -> str:
    token: str = event.token  # type: ignore[attr-defined]  # all contracts here have one
    return token


def _declare_threaded(app: Callboard, side: CallboardSide) -> None:
    @app.actor(queue=QUEUES["quick"])
    def quick(event: Quick, ctx: Context) -> None:
        with side.run(event.token, ctx):
            pass

    @app.actor(queue=QUEUES["echo"])
    def echo(event: Quick, ctx: Context) -> None:
        with side.run(event.token, ctx):
            pass

    @app.actor(queue=QUEUES["slow"])
    def slow(event: Slow, ctx: Context) -> None:
        with side.run(event.token, ctx):
            time.sleep(SLOW_SECONDS)

    @app.actor(queue=QUEUES["flaky"])
    def flaky(event: Flaky, ctx: Context) -> None:
        with side.run(event.token, ctx):
            if ctx.attempt == 1:
                raise Failed("at first")

    @app.actor(queue=QUEUES["cause"])
    def cause(event: Cause, ctx: Context) -> None:
        ctx.publish(FollowUp(follow_up_of(event.token)))
        with side.run(event.token, ctx):
            pass

    @app.actor(queue=QUEUES[FOLLOW])
    def follow(event: FollowUp, ctx: Context) -> None:
        with side.run(event.token, ctx):
            pass


def _declare_others(app: Callboard, side: CallboardSide) -> None:
    @app.actor(queue=QUEUES["waiting"])
    async def waiting(event: Waiting, ctx: Context) -> None:
        with side.run(event.token, ctx):
            await asyncio.sleep(SLOW_SECONDS)

    @app.actor(queue=QUEUES["doomed"])
    def doomed(event: Doomed, ctx: Context) -> None:
        ctx.publish(FollowUp(follow_up_of(event.token)))
        with side.run(event.token, ctx):
            raise RejectEvent("as planned")

    @app.actor(queue=QUEUES["dropped"])
    def dropped(event: Dropped, ctx: Context) -> None:
        with side.run(event.token, ctx):
            raise DiscardEvent("as planned")

    @app.actor(queue=QUEUES[MINE])
    def mine(event: Mine, ctx: Context) -> None:
        with side.run(event.token, ctx):
            if event.token == FATAL:
                os._exit(1)


def _declare_batches(app: Callboard, side: CallboardSide) -> None:
    def begin(stack: ExitStack, events: Sequence[Batched | Mines], ctx: BatchContext) -> None:
        for event in events:
            stack.enter_context(side.run(event.token, ctx.of(event)))

    @app.actor(queue=QUEUES["batched"], batch=Batch(size=20, wait="20ms"))
    def batched(events: list[Batched], ctx: BatchContext) -> None:
        with ExitStack() as stack:
            begin(stack, events, ctx)

    @app.actor(queue=QUEUES[MINES], batch=Batch(size=50, wait="20ms"))
    def mines(events: list[Mines], ctx: BatchContext) -> None:
        with ExitStack() as stack:
            begin(stack, events, ctx)
            if any(event.token == FATAL for event in events):
                os._exit(1)


class CallboardSight:
    """What can be seen of Callboard from outside, not through the proxy."""

    def __init__(self, url: str) -> None:
        self.mailbox = RedisMailbox(url, WORKSPACE, patience=0.5, socket_timeout=SOCKET_SECONDS)

    def calls(self) -> dict[str, bytes]:
        """How a request for a script is known: by its digest."""
        return {name: Script(name).digest.encode() for name in CALLS}

    def info(self) -> MailboxInfo:
        """The counts of all queues at one moment."""
        return self.mailbox.info()

    def at_rest(self) -> bool:
        """Whether nothing waits, runs or is scheduled."""
        return not any(q.live for q in self.info().queues)

    def records(self) -> list[Record]:
        """All deliveries that ended dead or discarded, and all that the mailbox still holds."""
        found: list[Record] = []
        for queue in self.info().queues:
            for ended in self.mailbox.ended(queue.queue, MOST_RECORDS):
                actor, _, key = ended.id.rpartition("#")[0].partition(":")
                state: Literal["dead", "discarded"] = (
                    "dead" if ended.kind is OutcomeKind.DEAD else "discarded"
                )
                found.append(Record(_token_in(ended.stored), actor, key, state, ended.reason or ""))
        bodies: dict[Any, Any] = self.mailbox.client.hgetall(root_of(WORKSPACE) + OF_WORKSPACE["BODIES"])
        for identity, stored in bodies.items():
            actor, _, key = identity.decode().partition(":")
            found.append(Record(_token_in(stored), actor, key, "held"))
        return found

    def close(self) -> None:
        """Let go of the server."""
        self.mailbox.close()


def _token_in(stored: bytes) -> str:
    token: str = json.loads(stored[HEADER_SIZE:])["data"]["token"]
    return token
