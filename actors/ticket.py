"""What dramatiq's worker threads are handed in place of messages: leave to drain a consumer's buffer."""

from typing import TYPE_CHECKING, Any, ClassVar

import dramatiq
from dramatiq.broker import MessageProxy

if TYPE_CHECKING:
    from .consumer import CallboardConsumer

DRAIN = "callboard:drain"
"""The name of the actor that tickets are for; no actor of a user may hold a colon."""


class Ticket(MessageProxy):
    """Makes one worker thread take deliveries from a consumer until there are none.

    Handing each delivery to a thread would cost more than most handlers do; a ticket is handed over
    once for many.
    """

    def __init__(self, consumer: "CallboardConsumer") -> None:
        self.in_handler = False
        """Whether its thread is in a handler now, and so may not come back for the buffer soon."""
        self.begun = 0
        """Handlers that its thread has begun."""
        self.begun_before = -1
        """The same when it was looked last."""
        self.stuck = False
        """Whether its thread was in the same handler at two looks."""
        super().__init__(
            dramatiq.Message(
                queue_name=consumer.queue,
                actor_name=DRAIN,
                args=(consumer, self),
                kwargs={},
                options={},
                message_id="ticket",  # made without drawing a random one
            )
        )

    # Tickets are told apart by identity; messages compare by what they say.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __str__(self) -> str:
        return f"ticket for {self.queue_name}"


class DrainActor:
    """What dramatiq's worker thread calls with a ticket's argument: it looks like an actor to it."""

    actor_name = DRAIN
    priority = 0
    options: ClassVar[dict[str, Any]] = {}

    def __call__(self, consumer: "CallboardConsumer", ticket: Ticket) -> None:
        consumer.drain(ticket)
