"""What a test may look at: attempts, events, schedules and ends, as they are when it asks."""

from collections import Counter

import dramatiq

from ..actors.actor import EventActor
from ..actors.app import Callboard
from ..actors.mailbox.infos import QueueInfo
from ..actors.mailbox.records import EndedRecord
from ..messages.delivery import OutcomeKind
from ..messages.errors import CallboardError
from ..messages.event import Event
from ..messages.items import ItemRecord
from .records import EndedDelivery, PastAttempt, ScheduledDelivery, event_in, moment
from .watched import WatchedMailbox

_ALL = 1_000_000


class Seen:
    """What happened on a stage, and what is still to come."""

    def __init__(self, app: Callboard, mailbox: WatchedMailbox) -> None:
        self.app = app
        self._mailbox = mailbox
        self._attempts: list[PastAttempt] = []
        self._ended: dict[str, EndedRecord] = {}
        self._ended_items: dict[str, tuple[ItemRecord, ...]] = {}

    @property
    def attempts(self) -> list[PastAttempt]:
        """Every attempt, in order."""
        return self._attempts.copy()

    def outcomes(self, actor: str | EventActor | None = None) -> list[OutcomeKind | None]:
        """What the attempts came to, those of an actor or all; they equal words such as "succeeded".

        Raises `CallboardError` for an actor that the app has not, for there would be none of it.
        """
        name = None if actor is None else self._name_of(actor)
        return [each.outcome for each in self._attempts if name in (None, each.actor)]

    def _name_of(self, actor: str | EventActor) -> str:
        name = actor if isinstance(actor, str) else actor.actor_name
        if name not in self.app.actors:
            raise CallboardError(f"there is no actor {name!r}: choose of {', '.join(self.app.actors)}")
        return name

    @property
    def published(self) -> list[Event]:
        """The events that the test and succeeded handlers published, in order, duplicates too."""
        return self._mailbox.published.copy()

    @property
    def messages(self) -> list[dramatiq.Message[object]]:
        """What was sent to plain dramatiq actors: the stage does not run them."""
        return self._mailbox.messages.copy()

    @property
    def scheduled(self) -> list[ScheduledDelivery]:
        """What waits until a later moment, the earliest first."""
        return [
            ScheduledDelivery(
                event=event_in(self.app.catalog, live.body),
                actor=live.id.partition(":")[0],
                number=live.history.attempts + 1,
                due=moment(due_at),
            )
            for due_at, live in self._mailbox.scheduled()
        ]

    @property
    def dead(self) -> list[EndedDelivery]:
        """The deliveries that ended dead, in order."""
        return self._ended_as(OutcomeKind.DEAD)

    @property
    def discarded(self) -> list[EndedDelivery]:
        """The deliveries that were discarded, in order."""
        return self._ended_as(OutcomeKind.DISCARDED)

    @property
    def counts(self) -> Counter[str]:
        """What all queues hold and ever did, in the words of `QueueInfo`; what is zero is left out."""
        told: Counter[str] = Counter()
        for queue in self._mailbox.info().queues:
            told.update(_figures_of(queue))
        return +told

    def story(self) -> str:
        """What happened and what is still to come, a line each."""
        return "\n".join(map(repr, [*self._attempts, *self.scheduled]))

    def look_at_ends(self) -> None:
        """Keep what ended: the mailbox forgets its record after a time, and a test may let that pass."""
        for queue in self._mailbox.info().queues:
            for record in reversed(self._mailbox.ended(queue.queue, _ALL)):
                if self._ended.setdefault(record.id, record) is record and record.history.items:
                    items = self._mailbox.ledger.of_ended(record.id)
                    self._ended_items[record.id] = tuple(sorted(items, key=lambda each: each.field))

    def _ended_as(self, kind: OutcomeKind) -> list[EndedDelivery]:
        self.look_at_ends()
        records = [record for record in self._ended.values() if record.kind is kind]
        return [self._told(record) for record in sorted(records, key=lambda each: each.at)]

    def _told(self, record: EndedRecord) -> EndedDelivery:
        return EndedDelivery(
            event=event_in(self.app.catalog, record.body),
            actor=record.id.partition(":")[0],
            outcome=record.kind,
            reason=record.reason,
            detail=record.detail,
            attempts=record.history.attempts,
            error=record.history.last_error,
            items=self._ended_items.get(record.id, ()),
            at=moment(record.at),
        )


def _figures_of(queue: QueueInfo) -> dict[str, int]:
    figures = {field: getattr(queue, field) for field in QueueInfo.__struct_fields__}
    return {field: figure for field, figure in figures.items() if isinstance(figure, int)}
