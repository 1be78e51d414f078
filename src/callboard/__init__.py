"""Callboard delivers typed events to actors: nothing accepted is lost, nothing fails unseen."""

from .actors.app import Callboard
from .actors.broker import CallboardBroker
from .actors.context import Context
from .actors.mailbox.memory import MemoryMailbox
from .actors.publisher import DeliveryReceipt, Receipt
from .messages.errors import CallboardError
from .messages.event import Command, Event
from .middleware.retry import Retry
from .middleware.signals import DiscardEvent, RejectEvent, RetryLater

__all__ = [
    "Callboard",
    "CallboardBroker",
    "CallboardError",
    "Command",
    "Context",
    "DeliveryReceipt",
    "DiscardEvent",
    "Event",
    "MemoryMailbox",
    "Receipt",
    "RejectEvent",
    "Retry",
    "RetryLater",
]
