"""Handlers of many events at once: how many are gathered for them, and what they are told and may say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from ..messages.errors import InvalidActor, InvalidDuration
from ..messages.event import Event
from ..messages.timing import duration_ms
from ..middleware.attempt import Attempt
from ..middleware.batch_run import Together
from ..middleware.options import Length
from ..middleware.signals import DiscardEvent, RejectEvent, RetryLater
from .context import EventContext, remaining, set_timeout

if TYPE_CHECKING:
    from .publish_options import When
    from .publisher import Publisher

MOST_EVENTS = 10_000
"""Events in a batch at most: as many as one settlement may publish."""

LONGEST_WAIT_MS = 60_000
"""What a worker gathers is leased: it is not the place to collect for an hour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """How many events a batch handler is given at once: a batch is full by `size` or by `max_bytes`, and
    does not wait longer than `wait` for more.

    Parameters:
        size: events at most, from 1 to 10,000.
        wait: how long the first of them waits for others in a worker, as "1s"; from 0 to a minute.
        max_bytes: bytes of their bodies at most; one that is larger by itself makes a batch of its own.

    Raises `InvalidActor` with all that cannot be.
    """

    size: int = 100
    wait: Length = "100ms"
    max_bytes: int = 1_000_000
    wait_ms: int = field(init=False, repr=False, default=0)
    """`wait` as it was read."""

    def __post_init__(self) -> None:
        faults = [*_count_faults("size", self.size, MOST_EVENTS), *_count_faults("max_bytes", self.max_bytes)]
        try:
            wait_ms = duration_ms(self.wait, name="wait")
        except InvalidDuration as error:
            faults.append(str(error))
        else:
            if wait_ms > LONGEST_WAIT_MS:
                faults.append(
                    f"wait must be a minute at most, for what is gathered is leased, but is {self.wait!r}"
                )
            object.__setattr__(self, "wait_ms", wait_ms)
        if faults:
            raise InvalidActor([f"Batch: {fault}" for fault in faults])


def _count_faults(name: str, said: object, most: int | None = None) -> list[str]:
    if isinstance(said, int) and not isinstance(said, bool) and 1 <= said <= (most or said):
        return []
    limit = f" to {most:,}" if most else ""
    return [f"{name} must be a whole number from 1{limit}, but is {said!r}"]


class BatchContext:
    """One call of a batch handler, as it sees it: what is not said to have failed succeeds when it returns.

    Events are told apart by which object they are, not by what they say: pass those of the list.
    """

    __slots__ = ("_attempts", "_contexts", "_publisher", "_together")

    def __init__(self, together: Together, publisher: "Publisher") -> None:
        self._together = together
        self._publisher = publisher
        self._attempts = {id(attempt.event): attempt for attempt in together.members}
        self._contexts: dict[Attempt, EventContext] = {}

    @property
    def events(self) -> list[Event]:
        """The events, in the order of the list that the handler was given."""
        return [attempt.event for attempt in self._together.members]

    @property
    def actor(self) -> str:
        """The actor's name."""
        return self._together.policy.actor

    @property
    def logger(self) -> structlog.stdlib.BoundLogger:
        """A logger with the actor and the number of events bound; `of(event).logger` binds an event's ids."""
        bound: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.handler")
        return bound.bind(actor=self.actor, events=len(self._together.members))

    def of(self, event: Event) -> EventContext:
        """What is known of one event: id, attempt, age, attributes and more.

        Raises `ValueError` for an event that is not of this batch.
        """
        attempt = self._attempt_of(event)
        known = self._contexts.get(attempt)
        if known is None:
            known = self._contexts[attempt] = EventContext(attempt, self._publisher)
        return known

    def fail(self, event: Event, error: BaseException) -> None:
        """The event has failed with this error: it is retried as the actor's policy says, or dead.

        What was said last of an event holds, even if the handler then raises. Raises `ValueError` for an
        event that is not of this batch, `TypeError` for what is no exception.
        """
        attempt = self._attempt_of(event)
        if not isinstance(error, BaseException):
            raise TypeError(f'an event fails with an exception, as ValueError("no such row"), not {error!r}')
        self._together.marks[attempt] = error

    def retry(self, event: Event, after: "When", detail: str = "") -> None:
        """Another attempt at the event then, as if a handler had raised `RetryLater`."""
        self.fail(event, RetryLater(after, detail))

    def reject(self, event: Event, detail: str = "") -> None:
        """The event is dead, as if a handler had raised `RejectEvent`."""
        self.fail(event, RejectEvent(detail))

    def discard(self, event: Event, detail: str = "") -> None:
        """The event is discarded, as if a handler had raised `DiscardEvent`."""
        self.fail(event, DiscardEvent(detail))

    def publish(
        self,
        event: Event,
        *,
        because: Event,
        after: "When | None" = None,
        dedup_key: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> str:
        """Publish an event together with the success of one of the batch, or not at all; its id.

        Each of them is settled by itself, so it must be said which (`because`). It is the cause, and its
        correlation is inherited. See `Context.publish`.
        """
        return self.of(because).publish(event, after=after, dedup_key=dedup_key, attributes=attributes)

    def set_timeout(self, timeout: str | float | timedelta) -> None:
        """Let this call take so long, counted from its start; see `Context.set_timeout`."""
        set_timeout(self._together, timeout)

    def remaining(self) -> timedelta:
        """How long this call may still take."""
        return remaining(self._together)

    def _attempt_of(self, event: Event) -> Attempt:
        attempt = self._attempts.get(id(event))
        if attempt is None:
            raise ValueError(
                f"this {type(event).__name__} is not of the batch: pass the very object from the list, "
                "for equal events of different deliveries are different ones"
            )
        return attempt

    def __repr__(self) -> str:
        return f"<BatchContext of {len(self._together.members)} events actor={self.actor}>"
