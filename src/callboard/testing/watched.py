"""The stage's mailbox: one in memory that remembers what was published."""

from collections.abc import Sequence

import dramatiq

from ..actors.mailbox.mailbox import Posting, Settlement, Verdict
from ..actors.mailbox.memory import MemoryMailbox, VirtualClock
from ..actors.mailbox.memory.live import Live
from ..messages.codec import decode_envelope
from ..messages.delivery import OutcomeKind
from ..messages.errors import UnreadableBody
from ..messages.event import Event

_PLAIN = "dramatiq.message"
"""What the broker calls a message of a plain dramatiq actor."""


class WatchedMailbox(MemoryMailbox):
    """A mailbox in memory that remembers published events, and keeps plain messages apart."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.published: list[Event] = []
        """In order, duplicates too; what a handler published counts once its attempt has succeeded."""
        self.messages: list[dramatiq.Message[object]] = []
        """Messages of plain dramatiq actors."""
        self._prepared: dict[str, Event] = {}

    def prepared(self, identity: str, event: Event) -> None:
        """An event was encoded under an id, and may be published."""
        self._prepared[identity] = event

    def publish(self, postings: Sequence[Posting], routes_version: int | None = None) -> list[list[Verdict]]:
        """Store every posting for all its targets or for none, but keep plain messages apart."""
        if [posting.event for posting in postings] == [_PLAIN]:
            self.messages.append(dramatiq.Message.decode(postings[0].body))
            return [[Verdict.ACCEPTED]]
        verdicts = super().publish(postings, routes_version)
        self._remember(
            [p for p, told in zip(postings, verdicts, strict=True) if Verdict.CONFLICT not in told]
        )
        return verdicts

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Make outcomes durable, and what was published with them."""
        held = super().settle(settlements)
        for settlement, is_held in zip(settlements, held, strict=True):
            if is_held and settlement.outcome.kind in (OutcomeKind.SUCCEEDED, OutcomeKind.DUPLICATE):
                self._remember(settlement.postings)
        return held

    def scheduled(self) -> list[tuple[int, Live]]:
        """What is due later in all queues and when, epoch milliseconds, the earliest first."""
        queues = [self._deliveries.queue(each.queue) for each in self.info().queues]
        return sorted((due for queue in queues for due in queue.scheduled), key=lambda each: each[0])

    def _remember(self, postings: Sequence[Posting]) -> None:
        for posting in postings:
            event = self._event_of(posting)
            if event is not None:
                self.published.append(event)

    def _event_of(self, posting: Posting) -> Event | None:
        """The event that was prepared as this posting; None if a test made the posting by hand."""
        try:
            return self._prepared.get(decode_envelope(posting.body).id)
        except UnreadableBody:
            return None
