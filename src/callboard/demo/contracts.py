"""What is said in the demo's shop; the order's number makes every dedup key."""

from ..messages.event import Command, Event


class OrderPlaced(Event, name="order.placed", key="order", dedup="order"):
    """A customer has ordered. What is published twice reaches its actors once."""

    order: str
    failures: int = 0
    """How often the bank will not answer before it does."""
    declined: bool = False
    """The bank will say no, whenever it is asked."""
    parcel_ms: int = 1000
    """How long packing takes."""


class TakePayment(Command, name="payment.take", key="order", dedup="order"):
    """Somebody has to charge the customer's card."""

    order: str
    failures: int
    declined: bool
    parcel_ms: int


class PaymentTaken(Event, name="payment.taken", key="order", dedup="order"):
    """The card has been charged."""

    order: str
    parcel_ms: int


class ShipParcel(Command, name="parcel.ship", key="order", dedup="order"):
    """Somebody has to ship a parcel, once it is packed."""

    order: str
