"""What the memory mailbox writes down beside its deliveries: ends, and by what else they are found."""

from ....messages.delivery import Outcome
from ..correlations import CameOf
from ..mailbox import ENDED_RETENTION_MS, MIN_WINDOW_MS, Posting, Settlement
from ..records import NO_FACTS, Facts
from ..subscriptions import Subscription
from .correlations import Related
from .ended import Aliases, Ended, event_in, record_of
from .live import Live

MIN_ALIASED_MS = 24 * 3_600_000
"""How long after a retry is due its event still leads to it."""


class Recording:
    """Writes each thing down wherever it will be looked for. Knows no locks; is told the time."""

    def __init__(self, most_recorded: int) -> None:
        self.records = Ended(most_recorded)
        self.aliases = Aliases()
        self.related = Related()
        self._retention: dict[str, int] = {}

    def subscribe(self, new: Subscription) -> None:
        """Note how long an actor's records are to be kept."""
        self._retention[new.actor] = max(new.retention.values(), default=ENDED_RETENTION_MS)

    def retention_of(self, actor: str) -> int:
        """The longest that a contract of an actor asks for: where nobody is there to tell which it is."""
        return self._retention.get(actor, ENDED_RETENTION_MS)

    def posted(self, posting: Posting, due_at: int, now: int) -> None:
        """An event came in: its id leads to its deliveries, and to what it came of."""
        for target in posting.targets:
            self.aliases.note(posting.id, target.identity, now, due_at + target.window_ms)
        if posting.came_of is not None:
            windows = [target.window_ms for target in posting.targets]
            until = due_at + max(windows, default=MIN_WINDOW_MS)
            self.related.note(posting.came_of, posting.event, now, until)

    def retried(self, live: Live, settlement: Settlement, now: int) -> None:
        """A delivery waits for another attempt."""
        if settlement.facts:
            until = now + settlement.outcome.delay_ms + MIN_ALIASED_MS
            self.aliases.note(settlement.facts.event, live.id, now, until)

    def ended(
        self,
        live: Live,
        ending: str,
        outcome: Outcome,
        now: int,
        *,
        facts: Facts = NO_FACTS,
        retention_ms: int = ENDED_RETENTION_MS,
    ) -> None:
        """A delivery has ended; `ending` tells this end from others of its identity."""
        until = now + retention_ms
        record = record_of(live, ending, outcome, facts, at=now, until=until)
        self.records.put(record, live.items, now)
        self.aliases.note(event_in(live.stored), live.id, now, until)
        if facts.correlation:
            came_of = CameOf(facts.event, facts.correlation, facts.causation)
            self.related.note(came_of, facts.contract, now, until)
