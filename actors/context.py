"""What a handler is told of the event it handles, and what it may ask for."""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar, Unpack

import structlog

from ..messages.errors import InvalidActor, PublishError, TooMuchPublished
from ..messages.event import Event
from ..messages.event_options import OptionsGiven
from ..middleware.attempt import Attempt
from ..middleware.options import seconds_of
from .attempt_items import AttemptItems
from .items import Items

if TYPE_CHECKING:
    from .mailbox.mailbox import Posting
    from .publish_options import When
    from .publisher import Publisher

T = TypeVar("T")

MOST_PUBLISHED = 10_000
"""Events that one attempt may publish, for all of them go out in one step with its success."""

MOST_PUBLISHED_BYTES = 8_000_000
"""Bytes of their bodies."""


class EventContext:
    """An event at an attempt, as its handler sees it: what is known of it, and what its success publishes."""

    __slots__ = ("_attempt", "_logger", "_published_bytes", "_publisher")

    def __init__(self, attempt: Attempt, publisher: "Publisher") -> None:
        self._attempt = attempt
        self._publisher = publisher
        self._published_bytes = 0
        self._logger: structlog.stdlib.BoundLogger | None = None

    @property
    def id(self) -> str:
        """The event's id."""
        return self._attempt.envelope.id

    @property
    def name(self) -> str:
        """The contract's name."""
        return self._attempt.envelope.type

    @property
    def time(self) -> datetime:
        """When the mailbox accepted the event, in UTC, by the server's clock."""
        return datetime.fromtimestamp(self._attempt.delivery.accepted_at / 1000, UTC)

    @property
    def delay(self) -> timedelta:
        """The delay it was published with."""
        delivery = self._attempt.delivery
        return timedelta(milliseconds=delivery.due_at - delivery.accepted_at)

    def age(self) -> timedelta:
        """How long ago the mailbox accepted the event, by the server's clock."""
        delivery = self._attempt.delivery
        return timedelta(milliseconds=max(0, delivery.clock.now() - delivery.accepted_at))

    @property
    def attempt(self) -> int:
        """The number of this attempt, counted from 1."""
        return self._attempt.delivery.attempt

    @property
    def fence(self) -> int:
        """Grows with every attempt: a store that refuses smaller ones is safe from late workers."""
        return self._attempt.delivery.fence

    @property
    def actor(self) -> str:
        """The actor's name."""
        return self._attempt.policy.actor

    @property
    def attributes(self) -> Mapping[str, str]:
        """What the publisher said about the event."""
        return self._attempt.envelope.attributes

    @property
    def correlation_id(self) -> str:
        """The same for all that one cause brought about; the event's own id where it began."""
        return self._attempt.envelope.correlationid or self._attempt.envelope.id

    @property
    def causation_id(self) -> str | None:
        """The id of the event whose handler published this one."""
        return self._attempt.envelope.causationid

    @property
    def logger(self) -> structlog.stdlib.BoundLogger:
        """A logger with event, ids, actor and attempt bound."""
        if self._logger is None:
            bound: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.handler")
            self._logger = bound.bind(**self._attempt.log_fields())
        return self._logger

    def publish(
        self,
        event: Event,
        *,
        after: "When | None" = None,
        dedup_key: str | None = None,
        attributes: Mapping[str, str] | None = None,
        **given: Unpack[OptionsGiven],
    ) -> str:
        """Publish an event together with the success of this attempt, or not at all; its id.

        Correlation is inherited; what was given of this event's attempts is not. Raises what
        `Callboard.publish` raises, but for conflicts, which show only when the attempt is settled; and
        `TooMuchPublished` for more than 10,000 events or 8 MB in one attempt, which are not one step any
        more: publish a part each in further events.
        An actor with a dedup store of its own cannot: `PublishError`.
        """
        dedup = self._attempt.policy.dedup
        if dedup is not None and dedup.store is not None:
            raise PublishError(
                f"{self.actor} has a dedup store of its own, which cannot be one step with the mailbox: "
                "publish with app.publish(), or leave its dedup to the mailbox"
            )
        prepared = self._publisher.prepare(
            event,
            after=after,
            dedup_key=dedup_key,
            attributes=attributes,
            correlation_id=self.correlation_id,
            causation_id=self.id,
            cause_name=self.name,
            **given,
        )
        self._add(self._publisher.routed(prepared))
        if prepared.span is not None:
            prepared.span.end()  # it goes out with the success of what is going on here
        return prepared.id

    def _add(self, posting: "Posting") -> None:
        if self._attempt.published is None:
            self._attempt.published = []
        size = self._published_bytes + len(posting.body)
        if len(self._attempt.published) >= MOST_PUBLISHED or size > MOST_PUBLISHED_BYTES:
            raise TooMuchPublished(
                f"with {posting.event} this attempt would publish more than {MOST_PUBLISHED:,} events or "
                f"{MOST_PUBLISHED_BYTES:,} bytes, too much to go out with its success: divide the work among "
                "several events, or use app.publish_many, which does not wait for the success"
            )
        self._attempt.published.append(posting)
        self._published_bytes = size

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} id={self.id} actor={self.actor} attempt={self.attempt}>"


class Context(EventContext):
    """One attempt, as the handler of one event sees it."""

    __slots__ = ("_open_items",)

    def __init__(
        self, attempt: Attempt, publisher: "Publisher", open_items: Callable[[Attempt], AttemptItems]
    ) -> None:
        super().__init__(attempt, publisher)
        self._open_items = open_items

    def set_timeout(self, timeout: str | float | timedelta) -> None:
        """Let this attempt take so long, counted from its start.

        Raises `ValueError` when that is nothing, or more than the app's `longest_timeout`.
        """
        set_timeout(self._attempt, timeout)

    def remaining(self) -> timedelta:
        """How long this attempt may still take."""
        return remaining(self._attempt)

    def items(
        self,
        values: Iterable[T] | AsyncIterable[T],
        *,
        key: Callable[[T], object] | None = None,
        name: str = "",
        durable: bool = False,
    ) -> Items[T]:
        """A loop over items, each with a status of its own, that leaves out those done by earlier attempts.

        Write `for item in ctx.items(...)` and `with item:` around what is done for one, in an `async def`
        handler `async for` and, if it is durable, `async with`. An exception in there marks the item as
        failed, and the loop goes on. When the handler returns, items that failed, or that it was not done
        with, make the attempt fail with `PartialFailure`; the next one is given only those.

        `key` answers what tells an item apart: text, a whole number or a UUID, the item itself if None.
        `name` tells one loop of a handler from another. What became of items is written behind within
        50 ms, with `durable` at each item before the next begins, and always before the outcome.

        Raises `InvalidItems`, in the loop, for what cannot be a key, a key that came before, a second
        loop of the same name and more than 100,000 items.
        """
        items = self._attempt.items
        if not isinstance(items, AttemptItems):
            items = self._attempt.items = self._open_items(self._attempt)
        return Items(values, items, key=key, name=name, durable=durable)


def set_timeout(attempt: Attempt, timeout: str | float | timedelta) -> None:
    """Let what runs for an attempt take so long; see `Context.set_timeout`."""
    policy = attempt.policy
    try:
        seconds = seconds_of(timeout, policy.longest_timeout, policy.actor)
    except InvalidActor as error:
        raise ValueError(str(error)) from None
    if attempt.deadline is not None:
        attempt.deadline.set_limit(seconds)


def remaining(attempt: Attempt) -> timedelta:
    """How long what runs for an attempt may still take."""
    return timedelta(seconds=attempt.deadline.remaining()) if attempt.deadline else timedelta.max
