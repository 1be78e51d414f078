"""A message of dramatiq as the layers see a delivery."""

import time
from hashlib import blake2b

import dramatiq
from dramatiq.broker import MessageProxy

from ..messages.delivery import Delivery, History
from ..messages.stored import FINGERPRINT_SIZE, stored_as

_DUE = "callboard_due"
"""The option in which a message carries when it was first due: brokers move `eta` with each retry."""

NO_FINGERPRINT = b"0" * FINGERPRINT_SIZE


class WallClock:
    """This machine's clock: dramatiq's brokers tell no other."""

    def now(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000


def delivery_of(message: MessageProxy, *, has_dedup: bool = True) -> Delivery:
    """A message of dramatiq as the layers see a delivery; its times are by the publisher's clock.

    One of Callboard's broker comes in a delivery, with the server's clock and what is remembered of it. Only
    a dedup store compares fingerprints, and without one none is made.
    """
    fingerprint = fingerprint_of(message) if has_dedup else NO_FINGERPRINT
    identity = id_of(message)
    own: Delivery | None = getattr(message, "delivery", None)
    if own is not None:
        header = _header(fingerprint, own.accepted_at, own.due_at)
        return Delivery(identity, message.queue_name, own.fence, header, own.clock, own.history)
    accepted = message.message_timestamp
    due = message.options.setdefault(_DUE, message.options.get("eta") or accepted)
    history = History(attempts=message.options.get("retries", 0))
    header = _header(fingerprint, accepted, due)
    return Delivery(identity, message.queue_name, 0, header, WallClock(), history)


def id_of(message: MessageProxy) -> str:
    """What a message's delivery is called."""
    return f"{message.actor_name}:{message.message_id}"


def _header(fingerprint: bytes, accepted: int, due: int) -> bytes:
    return stored_as(fingerprint, accepted, due)


def fingerprint_of(message: MessageProxy) -> bytes:
    """16 hexadecimal digits that tell a message's arguments from others."""
    said = dramatiq.get_encoder().encode({"args": list(message.args), "kwargs": message.kwargs})
    return blake2b(said, digest_size=8).hexdigest().encode()
