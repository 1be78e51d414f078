"""The rules of the memory mailbox: what publish, fetch and settle do to deliveries at a given moment."""

from collections import Counter

from msgspec import structs

from ....messages.delivery import Clock, Delivery, Outcome, OutcomeKind, Reason
from ....messages.items import ItemRecord
from ....messages.stored import stored_as
from ..infos import QueueInfo
from ..mailbox import ENDED_RETENTION_MS, MIN_WINDOW_MS, Fetched, Posting, Settlement, Target, Verdict
from ..records import (
    MOST_RECORDS,
    NO_FACTS,
    Completion,
    Facts,
    FoundDelivery,
    without_told_body,
)
from ..subscriptions import Subscription
from ..suspects import MAX_CRASHES, Suspects
from .live import Live
from .queue import Queue
from .recording import Recording
from .remembered import Completions, Remembered


class Deliveries:
    """All deliveries of a mailbox, live, completed and ended. Knows no locks; is told the time."""

    def __init__(self, clock: Clock, most_recorded: int) -> None:
        self._clock = clock
        self._queues: dict[str, Queue] = {}
        self._live: dict[str, Live] = {}
        self._last_fence = 0
        self._completions = Completions()
        self._settled: Remembered[tuple[str, int], OutcomeKind] = Remembered()
        self._recording = Recording(most_recorded)
        self.records = self._recording.records
        self.aliases = self._recording.aliases
        self.related = self._recording.related
        self.unrouted: Counter[str] = Counter()

    def queue(self, name: str) -> Queue:
        """The queue of that name, made if need be."""
        return self._queues.setdefault(name, Queue(name))

    def infos(self, now: int) -> tuple[QueueInfo, ...]:
        """The state of all queues, by name."""
        return tuple(
            self._queues[name].info(self.records.dead_letters(name, now)) for name in sorted(self._queues)
        )

    def publish(self, posting: Posting, now: int) -> list[Verdict]:
        """Store a posting for all its targets or for none."""
        if not posting.targets:
            self.unrouted[posting.event] += 1
            self._recording.posted(posting, _due_of(posting, now), now)
            return []
        verdicts = [self.judge(target, posting.fingerprint, now) for target in posting.targets]
        if Verdict.CONFLICT in verdicts:
            return [each if each is Verdict.CONFLICT else Verdict.WITHHELD for each in verdicts]
        verdicts = [self._store(target, posting, now) for target in posting.targets]
        self._recording.posted(posting, _due_of(posting, now), now)
        return verdicts

    def fetch(
        self, name: str, limit: int, *, owner: str, lease_end: int, alone: bool, wanted: Suspects, now: int
    ) -> Fetched:
        """Bring a queue up to date and hand out of it."""
        queue = self.queue(name)
        queue.move_due(now)
        expired = queue.take_expired(now)
        poisoned = [dead for live, fence in expired if (dead := self._take_back(live, fence, now))]
        if queue.pause is not None:
            next_in = queue.next_in(now)
            return Fetched([], next_in_ms=next_in, taken_over=len(expired), poisoned=poisoned)
        taken = queue.choose(limit, alone=alone, wanted=wanted)
        deliveries = [self._hand_out(live, owner, lease_end) for live in taken]
        told = queue.tell_suspects(owner, now, lease_end - now, wanted)
        left = 0 if wanted.together is None else len(queue.suspects)
        queue.wake_for(left if expired or any(live.suspect for live in taken) else 0)
        waiting, next_in = queue.waiting, queue.next_in(now)
        return Fetched(deliveries, waiting, told, next_in, left, len(expired), poisoned)

    def settle(self, settlement: Settlement, now: int) -> bool:
        """Make an outcome durable if its fence still holds; the same once more is only acknowledged."""
        delivery, kind = settlement.delivery, settlement.outcome.kind
        settled_as = (delivery.id, delivery.fence)
        live = self.held(delivery)
        if live is None:
            repeated = self._settled.get(settled_as, now) is kind
            self.queue(delivery.queue).tallies["fenced"] += not repeated
            return repeated
        self.queue(live.queue).let_go(live)
        self._settled.put(settled_as, kind, now=now, until=now + MIN_WINDOW_MS)
        self._conclude(live, settlement, now)
        return True

    def is_stale(self, settlement: Settlement, version: int) -> bool:
        """Whether it would publish by routes of another version than this."""
        versions = [each.routes_version for each in settlement.postings if each.routes_version is not None]
        completes = settlement.outcome.kind in (OutcomeKind.SUCCEEDED, OutcomeKind.DUPLICATE)
        return (
            completes
            and self.held(settlement.delivery) is not None
            and min(versions, default=version) != version
        )

    def renew(self, delivery: Delivery, lease_end: int) -> bool:
        """Extend a lease; whether it is still held."""
        live = self.held(delivery)
        if live is not None:
            self.queue(live.queue).extend(live, lease_end)
        return live is not None

    def look_up(self, identity: str, now: int) -> FoundDelivery | None:
        """All that is known of one identity, if anything is."""
        live = self._live.get(identity)
        at = self._completions.latest(identity, now)
        ended = self.records.of(identity, now)
        if live is None and at is None and not ended:
            return None
        return FoundDelivery(
            identity,
            live.queue if live else "",
            self.queue(live.queue).look_up(live) if live else None,
            None if at is None else Completion(at),
            tuple(without_told_body(each) for each in ended[:MOST_RECORDS]),
        )

    def items_of(self, delivery_id: str) -> dict[str, ItemRecord]:
        """What became of the items of a live delivery."""
        live = self._live.get(delivery_id)
        return {} if live is None else live.items

    def purge(self, name: str) -> int:
        """Discard all of a queue that is not leased."""
        purged = self.queue(name).clear()
        for live in purged:
            del self._live[live.id]
        self.queue(name).tallies["discarded"] += len(purged)
        return len(purged)

    def live(self, identity: str) -> Live | None:
        """The delivery of an identity that has not ended, if there is one."""
        return self._live.get(identity)

    def cancel(self, live: Live, outcome: Outcome, now: int) -> None:
        """End one that was taken out of where it waited, under a fence of its own."""
        self._last_fence += 1
        self._end(live, self._last_fence, outcome, now)

    def subscribe(self, former: Subscription | None, new: Subscription) -> None:
        """Let an actor's limit be what its subscription says; one in a former queue is lifted."""
        self._recording.subscribe(new)
        if former is not None and former.queue != new.queue:
            self.queue(former.queue).lanes.limit(new.actor, None)
        self.queue(new.queue).lanes.limit(new.actor, new.concurrency)

    def held(self, delivery: Delivery) -> Live | None:
        """What a delivery is the lease of; None if it holds it no more."""
        live = self._live.get(delivery.id)
        return live if live is not None and live.fence == delivery.fence else None

    def judge(self, target: Target, fingerprint: bytes, now: int) -> Verdict:
        """What a body of this fingerprint would be to a target now."""
        identity = target.identity
        live = self._live.get(identity)
        known = live.fingerprint if live else self._completions.within(identity, target.window_ms, now)
        if known is None:
            return Verdict.ACCEPTED
        return Verdict.DUPLICATE if known == fingerprint else Verdict.CONFLICT

    def _store(self, target: Target, posting: Posting, now: int) -> Verdict:
        # Judged again, for the same target may stand in a posting twice.
        if self.judge(target, posting.fingerprint, now) is Verdict.DUPLICATE:
            self.queue(target.queue).tallies["duplicates"] += 1
            return Verdict.DUPLICATE
        due_at = _due_of(posting, now)
        stored = stored_as(posting.fingerprint, now, due_at, posting.body)
        self.arrive(target, stored, due_at, now)
        self.queue(target.queue).tallies["accepted"] += 1
        return Verdict.ACCEPTED

    def arrive(self, target: Target, stored: bytes, due_at: int, now: int) -> Live:
        """Let a delivery live."""
        live = Live(target.identity, target.queue, stored, target.lane)
        self._live[live.id] = live
        self.queue(live.queue).place(live, due_at, now)
        return live

    def _hand_out(self, live: Live, owner: str, lease_end: int) -> Delivery:
        self._last_fence += 1
        fence = self._last_fence
        self.queue(live.queue).lease(live, fence, owner=owner, until=lease_end)
        return Delivery(
            live.id,
            live.queue,
            fence,
            live.stored,
            self._clock,
            live.history,
            live.alone,
            live.suspect,
            owner=owner,
        )

    def _take_back(self, live: Live, fence: int, now: int) -> Delivery | None:
        """Make a suspect of what another held; or end it, and tell what it was."""
        queue = self.queue(live.queue)
        queue.tallies["takeovers"] += 1
        if live.alone:
            past = live.history
            live.history = structs.replace(past, attempts=past.attempts + 1, crashes=past.crashes + 1)
        if live.history.crashes >= MAX_CRASHES:
            self._end(live, fence, Outcome(OutcomeKind.DEAD, Reason.POISON), now)
            return Delivery(live.id, live.queue, 0, live.stored, self._clock, live.history)
        queue.suspect(live)
        return None

    def _conclude(self, live: Live, settlement: Settlement, now: int) -> None:
        queue, outcome = self.queue(live.queue), settlement.outcome
        if outcome.kind is OutcomeKind.RELEASED:
            queue.tallies["released"] += 1
            if outcome.delay_ms > 0:
                queue.lanes.leave_slot(live)
                queue.place(live, now + outcome.delay_ms, now)
            else:
                queue.give_back(live)
            return
        live.history = live.history if settlement.history is None else settlement.history
        if outcome.kind is OutcomeKind.RETRIED:
            queue.tallies["retried"] += 1
            queue.lanes.leave_slot(live)
            queue.place(live, now + outcome.delay_ms, now)
            self._recording.retried(live, settlement, now)
        elif outcome.kind in (OutcomeKind.DEAD, OutcomeKind.DISCARDED):
            self._forget(live)
            self._keep(live, settlement, now)
        else:
            self._complete(live, settlement, now)

    def _complete(self, live: Live, settlement: Settlement, now: int) -> None:
        self._forget(live)
        self.queue(live.queue).tallies[settlement.outcome.kind.value] += 1
        self._completions.put(live.id, live.fingerprint, settlement.window_ms, now)
        if settlement.facts and settlement.outcome.kind is OutcomeKind.SUCCEEDED:
            self._keep(live, settlement, now)
        for nth, posting in enumerate(settlement.postings, 1):
            if Verdict.CONFLICT in self.publish(posting, now):
                self._bury(posting, nth, settlement.delivery, now)

    def _bury(self, posting: Posting, nth: int, cause: Delivery, now: int) -> None:
        """Keep a handler's posting that conflicts: the handler has succeeded and cannot be told."""
        outcome = Outcome(OutcomeKind.DEAD, Reason.PAYLOAD_CONFLICT, f"published by {cause.id}")
        for position, target in enumerate(posting.targets, 1):
            stored = stored_as(posting.fingerprint, now, now, posting.body)
            self.queue(target.queue).tallies["accepted"] += 1
            live = Live(target.identity, target.queue, stored, target.lane)
            self._record(live, f"{cause.fence}.{nth}.{position}", outcome, now)

    def _end(self, live: Live, fence: int, outcome: Outcome, now: int) -> None:
        """End one without a worker."""
        self._forget(live)
        self._record(live, str(fence), outcome, now, retention_ms=self._recording.retention_of(live.actor))

    def _keep(self, live: Live, settlement: Settlement, now: int) -> None:
        facts, retention_ms = settlement.facts or NO_FACTS, max(settlement.retention_ms, MIN_WINDOW_MS)
        ending = str(settlement.delivery.fence)
        self._record(live, ending, settlement.outcome, now, facts=facts, retention_ms=retention_ms)

    def _forget(self, live: Live) -> None:
        del self._live[live.id]
        self.queue(live.queue).leave_lanes(live)

    def _record(
        self,
        live: Live,
        ending: str,
        outcome: Outcome,
        now: int,
        *,
        facts: Facts = NO_FACTS,
        retention_ms: int = ENDED_RETENTION_MS,
    ) -> None:
        if outcome.kind is not OutcomeKind.SUCCEEDED:
            self.queue(live.queue).tallies[outcome.kind.value] += 1
        self._recording.ended(live, ending, outcome, now, facts=facts, retention_ms=retention_ms)


def _due_of(posting: Posting, now: int) -> int:
    return now + posting.delay_ms if posting.delay_ms > 0 else max(now, posting.due_at)
