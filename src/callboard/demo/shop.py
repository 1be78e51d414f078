"""The demo's app: `callboard run callboard.demo.shop:app` is what its workers are."""

import asyncio
import time

from ..actors.app import Callboard
from ..actors.context import Context
from ..middleware.retry import Retry
from ..middleware.signals import RejectEvent
from .contracts import OrderPlaced, PaymentTaken, ShipParcel, TakePayment
from .effects import Effects, effects_file

app = Callboard("demo", lease="2s", grace="5s")
app.provide(Effects, lambda: Effects(effects_file(app.settings.home, app.settings.workspace)))


BANK_SECONDS = 0.02
"""From when the bank has charged a card until it says so: a worker that dies in between cannot know."""


class BankTimeout(Exception):
    """Raised by a bank that does not answer."""


@app.actor(queue="orders")
def take_order(event: OrderPlaced, ctx: Context, effects: Effects) -> None:
    """A command goes out together with the success of this, or not at all."""
    effects.record(ctx, event.order)
    ctx.publish(TakePayment(event.order, event.failures, event.declined, event.parcel_ms))


@app.actor(queue="payments", retry=Retry.exponential(first="200ms", cap="1s", max_attempts=8))
def charge_card(event: TakePayment, ctx: Context, effects: Effects) -> None:
    """The bank fails at first for some (retried), and says no to others (dead)."""
    if event.declined:
        raise RejectEvent("the bank says no")
    if ctx.attempt <= event.failures:
        raise BankTimeout("no answer")
    effects.record(ctx, event.order)
    time.sleep(BANK_SECONDS)
    ctx.publish(PaymentTaken(event.order, event.parcel_ms))


@app.actor(queue="letters")
async def send_receipt(event: PaymentTaken, ctx: Context, effects: Effects) -> None:
    """One of two who subscribe to the same event; the event loop must not wait for its file."""
    await asyncio.to_thread(effects.record, ctx, event.order)


@app.actor(queue="parcels")
def pack_parcel(event: PaymentTaken, ctx: Context, effects: Effects) -> None:
    """The other one; what it publishes is scheduled."""
    effects.record(ctx, event.order)
    ctx.publish(ShipParcel(event.order), after=event.parcel_ms)


@app.actor(queue="parcels")
def ship_parcel(event: ShipParcel, ctx: Context, effects: Effects) -> None:
    """The end of an order."""
    effects.record(ctx, event.order)
