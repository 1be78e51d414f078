"""The public names of Callboard, as its root hands them out."""

from .actors.app import Callboard
from .actors.batch import Batch, BatchContext
from .actors.broker import CallboardBroker
from .actors.context import Context
from .actors.items import Item
from .actors.mailbox.memory import MemoryMailbox
from .actors.receipt import DeliveryReceipt, Receipt
from .messages.errors import CallboardError
from .messages.event import Command, Event
from .messages.sensitive import Sensitive
from .middleware.dedup.memory import MemoryDedupStore
from .middleware.dedup.option import Dedup
from .middleware.dedup.redis import RedisDedupStore
from .middleware.dedup.store import DedupStore
from .middleware.discard import Discard
from .middleware.metrics import MetricsLayer
from .middleware.partial import PartialFailure
from .middleware.retry import Retry
from .middleware.signals import (
    DiscardEvent,
    HandlerTimeout,
    RejectEvent,
    RejectItem,
    RetryLater,
    SkipItem,
    TimeIsUp,
)
from .middleware.stack import Stack
from .observability.traces import Tracing

__all__ = [
    "Batch",
    "BatchContext",
    "Callboard",
    "CallboardBroker",
    "CallboardError",
    "Command",
    "Context",
    "Dedup",
    "DedupStore",
    "DeliveryReceipt",
    "Discard",
    "DiscardEvent",
    "Event",
    "HandlerTimeout",
    "Item",
    "MemoryDedupStore",
    "MemoryMailbox",
    "MetricsLayer",
    "PartialFailure",
    "Receipt",
    "RedisDedupStore",
    "RejectEvent",
    "RejectItem",
    "Retry",
    "RetryLater",
    "Sensitive",
    "SkipItem",
    "Stack",
    "TimeIsUp",
    "Tracing",
]
