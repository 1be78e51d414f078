"""The load under which pools are restarted: that of chaos, and handlers that a stop finds in the middle."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from callboard import Context, Event
from callboard.actors.context import EventContext
from tests.chaos.callboard_side import CONTRACTS, CallboardSide
from tests.chaos.effects import Effects
from tests.chaos.load import QUEUES, Place

PLACE = "CHAOS_PLACE"
"""The variable that tells a pool its place, as JSON; its member is the pool's name."""

GRACE_SECONDS = 1.0
"""How long a stopping worker waits for handlers on its event loop."""

LONG_SECONDS = 0.3
PATIENT_SECONDS = 5 * GRACE_SECONDS
"""Longer than any stop lasts: what began shortly before is cut off."""

PATIENCE = "20s"
"""The timeout of such a handler."""

ITEMS = 12
ITEM_SECONDS = PATIENT_SECONDS / ITEMS

LANES = 5


class Long(Event, name="chaos.long"):
    """For one that takes a few hundred milliseconds of a thread."""

    token: str


class Lengthy(Event, name="chaos.lengthy"):
    """For one that takes as long on the event loop."""

    token: str


class Patient(Event, name="chaos.patient"):
    """For one that takes longer than the grace, on the event loop."""

    token: str


class Ordered(Event, name="chaos.ordered", key="lane"):
    """For one that takes those of a lane one after another."""

    token: str
    lane: int


class Itemised(Event, name="chaos.itemised"):
    """For one that goes through items, longer in all than the grace."""

    token: str


def number_of(token: str) -> int:
    """The number of an event among those of its publisher."""
    return int(token.rpartition("-")[2])


def lane_of(token: str) -> int:
    """The lane that an event is ordered in."""
    return number_of(token) % LANES


class RollingSide(CallboardSide):
    """The app of the pools, and of who publishes for them."""

    contracts: Mapping[str, Callable[[str], Event]] = {
        **CONTRACTS,
        "long": Long,
        "lengthy": Lengthy,
        "patient": Patient,
        "ordered": lambda token: Ordered(token, lane_of(token)),
        "itemised": Itemised,
    }
    grace = f"{GRACE_SECONDS}s"

    def __init__(self, place: Place, effects: Callable[[], Effects] | None) -> None:
        super().__init__(place, None)
        self._open_effects = effects
        self._opening = threading.Lock()
        _declare(self)

    def run(self, token: str, ctx: EventContext) -> AbstractContextManager[None]:
        """See `CallboardSide.run`; a process has a file of effects once it has run a handler."""
        self._open()
        return super().run(token, ctx)

    def run_item(self, token: str, key: str, ctx: EventContext) -> AbstractContextManager[None]:
        """Around what becomes of an item, as if each were a delivery of its own."""
        return self._open().run(
            token,
            f"{ctx.actor}/{key}",
            ctx._attempt.delivery.key,
            fence=ctx.fence,
            attempt=ctx.attempt,
            alone=False,
            age=ctx.age().total_seconds(),
        )

    def _open(self) -> Effects:
        with self._opening:
            if self._effects is None:
                assert self._open_effects is not None, "only workers run handlers"
                self._effects = self._open_effects()
            return self._effects


def effects_of(place: Place, pid: int) -> Effects:
    """The file of a worker process: its name is the pool's and its process id."""
    return Effects(Path(place.directory), f"{place.member}.{pid}")


def _declare(side: RollingSide) -> None:
    app = side.app

    @app.actor(queue=QUEUES["long"])
    def long(event: Long, ctx: Context) -> None:
        with side.run(event.token, ctx):
            time.sleep(LONG_SECONDS)

    @app.actor(queue=QUEUES["lengthy"])
    async def lengthy(event: Lengthy, ctx: Context) -> None:
        with side.run(event.token, ctx):
            await asyncio.sleep(LONG_SECONDS)

    @app.actor(queue=QUEUES["patient"], timeout=PATIENCE)
    async def patient(event: Patient, ctx: Context) -> None:
        with side.run(event.token, ctx):
            await asyncio.sleep(PATIENT_SECONDS)

    @app.actor(queue=QUEUES["ordered"], ordered=True)
    def ordered(event: Ordered, ctx: Context) -> None:
        with side.run(event.token, ctx):
            time.sleep(0.005)

    @app.actor(queue=QUEUES["itemised"], timeout=PATIENCE)
    async def itemised(event: Itemised, ctx: Context) -> None:
        with side.run(event.token, ctx):
            async for item in ctx.items(range(ITEMS)):
                with item, side.run_item(event.token, item.key, ctx):
                    await asyncio.sleep(ITEM_SECONDS)
