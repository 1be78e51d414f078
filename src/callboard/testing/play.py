"""Takes deliveries out of the stage's mailbox, in order of time, and settles each as a worker would."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from math import inf

import msgspec

from ..actors.app import Callboard
from ..actors.gathering import Gathered, Gathering
from ..actors.mailbox.memory import VirtualClock
from ..actors.performing import settlement_of, settlement_of_unknown
from ..messages.delivery import RELEASED, SUCCEEDED, Delivery, Outcome, OutcomeKind
from ..messages.errors import CallboardError
from ..messages.event import Event
from ..middleware.attempt import Attempt, Policy
from ..middleware.guarded import Guarded
from ..middleware.signals import Signal
from .records import PastAttempt, event_in, moment
from .watched import WatchedMailbox

OWNER = "stage"
"""What the mailbox calls the worker that a stage is."""


class EndlessRun(CallboardError):
    """Raised when a run makes more attempts than it may: most likely a handler publishes what it handles."""


class Turn:
    """A handler about to be run, for one delivery or a batch; whoever runs it tells what each came to."""

    def __init__(self, guarded: Guarded, deliveries: Sequence[Delivery]) -> None:
        policy = _steady(guarded.policy)
        self.guarded = guarded
        self.attempts = [Attempt(delivery, policy) for delivery in deliveries]
        self.outcomes: dict[Attempt, Outcome] = {}

    def tell(self, attempt: Attempt, outcome: Outcome) -> None:
        """Say what an attempt came to; what nothing is said of was cancelled, and is released."""
        self.outcomes[attempt] = outcome


Turns = Generator[Turn, None, None]
"""Handlers to be run one after the other; each is settled when the next is asked for."""


class Play:
    """The deliveries of an app, one at a time: of one moment before those of the next, queues taking turns.

    Parameters:
        attempts: where every attempt is added.
        moving: called before the clock moves.
        most: attempts that one run may make.
        expected: exceptions of handlers that a run goes on after.
    """

    def __init__(
        self,
        app: Callboard,
        mailbox: WatchedMailbox,
        clock: VirtualClock,
        *,
        attempts: list[PastAttempt],
        moving: Callable[[], None],
        most: int,
        expected: Sequence[type[BaseException]],
    ) -> None:
        self.crashes: Counter[str] = Counter()
        """Attempts still to come, by actor, whose worker is lost."""
        self.expected = tuple(expected)
        self._attempts = attempts
        self._moving = moving
        self._app = app
        self._mailbox = mailbox
        self._clock = clock
        self._most = most
        self._is_playing = False
        self._last_queue = ""
        self._next_at: int | None = None
        self._gathering = Gathering()
        self._full: deque[Gathered] = deque()

    def until(self, end: int) -> Turns:
        """Hand out what is ready, and what falls due up to `end` (epoch milliseconds), which it is then."""
        if self._is_playing:
            raise CallboardError("the stage runs already: a handler cannot run it, the test does")
        self._is_playing = True
        try:
            self._app.broker.boot()
            first = len(self._attempts)
            while (found := self._next(end)) is not None:
                yield from self._attempt(found) if isinstance(found, Delivery) else self._batch(found)
                if len(self._attempts) - first >= self._most:
                    raise _endless(self._attempts[first:])
            self._move(end)
        finally:
            self._is_playing = False

    # Which is next.

    def _next(self, end: int) -> Delivery | Gathered | None:
        """The next delivery or batch, with the clock moved to where it is due; None for none by `end`."""
        while (found := self._ready()) is None:
            next_at = self._next_moment()
            if next_at > end:
                return None
            self._move(int(next_at))
        return found

    def _ready(self) -> Delivery | Gathered | None:
        """What may run now; what is for a batch that is not full goes there."""
        while (delivery := self._fetch()) is not None:
            gatherer = self._app.broker.declared.gatherers.get(delivery.actor)
            if gatherer is None or self.crashes[delivery.actor] > 0:
                return delivery
            self._full += self._gathering.add(delivery, gatherer, self._clock.now())
            if self._full:
                break
        self._full += self._gathering.take_due(self._clock.now())
        return self._full.popleft() if self._full else None

    def _next_moment(self) -> float:
        """When something falls due, epoch milliseconds; endless if nothing will."""
        now = self._clock.now()
        return min(inf if self._next_at is None else self._next_at, now + self._gathering.due_in(now))

    def _move(self, to: int) -> None:
        """Let time pass, renew what is gathered and confirm the routes, as a worker does."""
        self._moving()
        self._clock.advance(max(0, to - self._clock.now()))
        self._mailbox.renew(self._gathering.deliveries, self._app.broker.lease_ms)
        self._app.broker.confirm_routes()

    def _fetch(self) -> Delivery | None:
        waits: list[int] = []
        for queue in self._queues_in_turn():
            for alone in (False, True):
                fetched = self._mailbox.fetch(
                    queue, 1, owner=OWNER, lease_ms=self._app.broker.lease_ms, alone=alone
                )
                if fetched.deliveries:
                    self._last_queue = queue
                    return fetched.deliveries[0]
            if fetched.next_in_ms is not None:
                waits.append(fetched.next_in_ms)
        self._last_queue = ""
        self._next_at = self._clock.now() + max(1, min(waits)) if waits else None
        return None

    def _queues_in_turn(self) -> list[str]:
        queues = list(self._app.broker.queues)
        turn = queues.index(self._last_queue) + 1 if self._last_queue in queues else 0
        return queues[turn:] + queues[:turn]

    # What becomes of it.

    def _attempt(self, delivery: Delivery) -> Turns:
        guarded = self._app.broker.declared.guarded(delivery.actor)
        if self.crashes[delivery.actor] > 0:
            self.crashes[delivery.actor] -= 1
            self._note(delivery, None)
        elif guarded is None:
            settlement = settlement_of_unknown(delivery)
            self._mailbox.settle([settlement])
            self._note(delivery, settlement.outcome)
        else:
            yield from self._turn(Turn(guarded, [delivery]))

    def _batch(self, batch: Gathered) -> Turns:
        yield from self._turn(Turn(batch.guarded, batch.deliveries))

    def _turn(self, turn: Turn) -> Turns:
        told = dict.fromkeys(turn.attempts, RELEASED)
        try:
            yield turn
        finally:
            told |= turn.outcomes
            settlements = [settlement_of(attempt, outcome) for attempt, outcome in told.items()]
            for attempt in turn.attempts:
                if attempt.items is not None:
                    attempt.items.finish(lambda: None)
            self._mailbox.settle(settlements)
            for attempt, outcome in told.items():
                self._note(attempt.delivery, outcome, attempt)
        for attempt in turn.attempts:
            self._raise_unexpected(attempt)

    def _note(self, delivery: Delivery, outcome: Outcome | None, attempt: Attempt | None = None) -> None:
        event: Event | None = getattr(attempt, "event", None)
        items = None if attempt is None else attempt.items
        told = SUCCEEDED if outcome is None else outcome
        is_retried = told.kind is OutcomeKind.RETRIED
        self._attempts.append(
            PastAttempt(
                event=event_in(self._app.catalog, delivery.body) if event is None else event,
                actor=delivery.actor,
                number=delivery.attempt,
                outcome=None if outcome is None else outcome.kind,
                reason=told.reason,
                detail=told.detail,
                error=None if attempt is None else attempt.exception,
                retry_in=timedelta(milliseconds=told.delay_ms) if is_retried else None,
                items=() if items is None else tuple(items.records.values()),
                item_counts=None if items is None else items.counts,
                at=moment(self._clock.now()),
            )
        )

    def _raise_unexpected(self, attempt: Attempt) -> None:
        error = attempt.exception
        if error is None or isinstance(error, (Signal, *self.expected)):
            return
        kind = type(error).__name__
        error.add_note(
            f"raised in {self._attempts[-1]!r}; a test that wants it to happen says stage.expect({kind})"
        )
        raise error


def _endless(made: Sequence[PastAttempt]) -> EndlessRun:
    actor, count = Counter(each.actor for each in made).most_common(1)[0]
    return EndlessRun(
        f"one run made {len(made)} attempts, {count} of them of {actor}: does it publish what it handles, "
        "or retry without a wait? If it should be so many, allow more with Stage(app, most=...)"
    )


def _steady(policy: Policy) -> Policy:
    """The same, its retries without the part of a wait that is drawn by chance."""
    if policy.retry is None or not policy.retry.jitter:
        return policy
    return msgspec.structs.replace(policy, retry=msgspec.structs.replace(policy.retry, jitter=0.0))
