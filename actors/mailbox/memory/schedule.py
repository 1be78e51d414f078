"""The schedule of the memory mailbox: the model of the others."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from ....messages.delivery import Outcome, OutcomeKind, Reason
from ....messages.stored import stored_as
from ....messages.timing import DAY_MS, After
from ..records import Records
from ..schedule import Answer, Schedule, Scheduled, Waiting
from .deliveries import Deliveries
from .ended import event_in
from .live import Live


class MemorySchedule(Schedule):
    """What is due later in a `MemoryMailbox`.

    `entered` is how the mailbox is entered: its lock held, and the time told.
    """

    def __init__(
        self, deliveries: Deliveries, records: Records, entered: Callable[[], AbstractContextManager[int]]
    ) -> None:
        super().__init__(records)
        self._deliveries = deliveries
        self._entered = entered

    def page(self, queue: str, limit: int, after: Scheduled | None = None) -> list[Scheduled]:
        """See `Schedule.page`."""
        with self._entered():
            listed = [
                Scheduled(live.id, queue, due_at, live.history.attempts)
                for due_at, live in self._deliveries.queue(queue).scheduled
            ]
        listed.sort(key=lambda each: each.place)
        return [each for each in listed if after is None or each.place > after.place][:limit]

    def _cancel(self, some: Sequence[Waiting], detail: str) -> list[Answer]:
        outcome = Outcome(OutcomeKind.DISCARDED, Reason.CANCELLED, detail or None)

        def cancel(live: Live, now: int) -> None:
            self._deliveries.cancel(live, outcome, now)

        return self._take_each(some, cancel)

    def _move(self, some: Sequence[Waiting], after: After) -> list[Answer]:
        def move(live: Live, now: int) -> None:
            due_at = now + after.delay_ms if after.delay_ms > 0 else max(now, after.due_at)
            queue = self._deliveries.queue(live.queue)
            if not live.history.attempts:
                live.stored = stored_as(live.fingerprint, live.accepted_at, due_at, live.body)
                queue.leave_lanes(live)
                self._deliveries.aliases.note(event_in(live.stored), live.id, now, due_at + DAY_MS)
            queue.lanes.leave_slot(live)
            queue.place(live, due_at, now)

        return self._take_each(some, move)

    def _take_each(self, some: Sequence[Waiting], then: Callable[[Live, int], None]) -> list[Answer]:
        with self._entered() as now:
            return [self._take(each.id, then, now) for each in some]

    def _take(self, identity: str, then: Callable[[Live, int], None], now: int) -> Answer:
        live = self._deliveries.live(identity)
        if live is None:
            return Answer.GONE
        if live.fence:
            return Answer.LEASED
        self._deliveries.queue(live.queue).take_out(live)
        then(live, now)
        return Answer.TAKEN
