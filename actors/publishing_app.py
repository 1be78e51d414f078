"""An app as those know it who publish: events go out, and what has not begun is cancelled or moved."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Unpack

from ..messages.delivery import storable
from ..messages.event import Event
from ..messages.event_options import OptionsGiven
from ..messages.timing import read_after
from .changing import changed_by
from .mailbox.mailbox import Mailbox
from .mailbox.schedule import Changed
from .publish_options import KeyOf, PublishOptions, When
from .publisher import Publisher
from .receipt import Receipt


class PublishingApp:
    """The half of an app that needs no actors of its own."""

    def __init__(
        self, publisher: Publisher, mailbox: Callable[[], Mailbox], actors: Mapping[str, object]
    ) -> None:
        self.publisher = publisher
        self._open = mailbox
        self._declared = actors

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox; opening it may start the embedded server."""
        return self._open()

    def publish(
        self,
        event: Event,
        *,
        after: When | None = None,
        dedup_key: str | None = None,
        attributes: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        required: bool = False,
        **given: Unpack[OptionsGiven],
    ) -> Receipt:
        """Publish an event to all who subscribe to its contract: to all of them, or to none.

        When it returns, the mailbox has it. `after` is a wait ("5 minutes", milliseconds, a
        timedelta) or a moment (an aware datetime, epoch milliseconds, ISO 8601). Events with the same
        `dedup_key` are delivered to an actor once within the contract's window. `timeout`, `max_attempts`,
        `give_up_after` and `max_age` go before what its actors say; see `OptionsGiven`.

        Raises a `PublishError` or `MailboxRefused` when it is refused, or `MailboxUnavailable` when
        it may or may not be stored: publishing again with the same `dedup_key` is safe.
        """
        return self.publisher.publish(
            self.publisher.prepare(
                event,
                after=after,
                dedup_key=dedup_key,
                attributes=attributes,
                correlation_id=correlation_id,
                required=required,
                **given,
            )
        )

    async def apublish(self, event: Event, **options: Unpack[PublishOptions]) -> Receipt:
        """The same for `async def` code, with the same options: the event loop goes on meanwhile."""
        return await asyncio.to_thread(self.publish, event, **options)

    def publish_many(
        self,
        events: Iterable[Event],
        *,
        after: When | None = None,
        dedup_key: KeyOf | None = None,
        attributes: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        required: bool = False,
        **given: Unpack[OptionsGiven],
    ) -> list[Receipt]:
        """Publish many events in few calls; the receipts are in their order.

        `dedup_key` makes each event's key; `after` and what is `given` of their attempts are read once,
        before the first of them, and raise `InvalidAfter` or `InvalidOption` with nothing posted. Every
        event is tried before `ManyRefused` tells which ones were refused. An error of the mailbox, or of
        what yields the events, ends it; what was posted by then stays.
        """
        return self.publisher.publish_many(
            self.publisher.prepare_many(
                events,
                after=after,
                dedup_key=dedup_key,
                attributes=attributes,
                correlation_id=correlation_id,
                required=required,
                **given,
            )
        )

    def cancel(self, event: str | Receipt, *, reason: str = "") -> tuple[Changed, ...]:
        """Let deliveries that have not begun not begin: of an event, or one by its own id (`actor:key`).

        `event` is a receipt, its id, or a delivery's. What waits ends as discarded, with the reason
        `cancelled` and a record that tells `reason`; a retry that waits does too. What runs goes on. Tells
        of each actor's delivery what became of it: `cancelled`, `running`, `done` or `unknown`.
        """
        detail = storable(reason)
        return changed_by(lambda known: self.mailbox.schedule.cancel(known, detail), event, [*self._declared])

    def reschedule(self, event: str | Receipt, *, after: When) -> tuple[Changed, ...]:
        """Let deliveries that have not begun begin at another time; `after` as in `publish`.

        Tells of each actor's delivery what became of it: `moved`, `running`, `cancelled`, `done` or
        `unknown`. What was not tried yet counts its age from the new time, a retry goes on counting.
        Raises `InvalidAfter`.
        """
        due = read_after(after)
        return changed_by(lambda known: self.mailbox.schedule.move(known, due), event, [*self._declared])
