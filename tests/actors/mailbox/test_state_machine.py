"""Memory as the model, and the servers checked against it: the same steps must give the same answers.

Time cannot pass alike in both: delays are none or never over, leases are long or run out at once.
"""

import os
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from callboard.actors.mailbox.infos import DeadLettersInfo, QueueInfo
from callboard.actors.mailbox.mailbox import MIN_WINDOW_MS, Fetched, Mailbox, Posting, Settlement
from callboard.actors.mailbox.memory import MemoryMailbox
from callboard.actors.mailbox.records import EndedRecord, Redress, Replay
from callboard.actors.mailbox.schedule import Became, Changed
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.actors.mailbox.suspects import EACH_ALONE, MAX_CRASHES, Suspects
from callboard.messages.delivery import NO_HISTORY, Outcome, OutcomeKind, Reason
from callboard.messages.items import ItemRecord
from callboard.messages.timing import After
from tests.actors.mailbox.conformance import (
    DEAD,
    DISCARDED,
    DUPLICATE,
    LONG,
    RELEASED,
    SUCCEEDED,
    WORKER,
    Stage,
    VirtualStage,
    check_conservation,
    posting,
    queue_of,
    retried,
    settlement,
    target,
)
from tests.actors.mailbox.item_rules import ItemRules, Pair, items, letters_in_order
from tests.actors.mailbox.lane_watch import LaneWatch

QUEUE_OF = {"receipt": "orders", "audit": "orders", "stock": "stock"}
FINAL = {OutcomeKind.SUCCEEDED, OutcomeKind.DUPLICATE, OutcomeKind.DEAD, OutcomeKind.DISCARDED}
COMPLETED = {OutcomeKind.SUCCEEDED, OutcomeKind.DUPLICATE}

Letter = tuple[EndedRecord, EndedRecord]
"""A dead letter as the model keeps it, and as the subject does."""

runs = st.sampled_from(["run-1", "run-2"])

queues = st.sampled_from(["orders", "stock"])
suspects = st.sampled_from(
    [
        EACH_ALONE,
        Suspects(together=2),
        Suspects(together=0),
        Suspects(together=0, charged=False),
        Suspects(together=1, hunts=False),
    ]
)
outcomes = st.sampled_from(
    [SUCCEEDED, SUCCEEDED, DUPLICATE, DEAD, DISCARDED, RELEASED, retried(), retried(LONG)]
)
targets = st.builds(
    lambda actor, key, lane: target(key, actor=actor, queue=QUEUE_OF[actor], lane=lane and f"{actor}:{lane}"),
    st.sampled_from(sorted(QUEUE_OF)),
    st.sampled_from(["1", "2", "3", "4", "5", "6"]),
    st.sampled_from(["", "a", "a", "b"]),
)
postings = st.builds(
    lambda whom, body, delay_ms: posting(*whom, body=body, delay_ms=delay_ms),
    st.lists(targets, min_size=1, max_size=3, unique_by=lambda each: (each.actor, each.key)),
    st.sampled_from([b"x", b"x", b"x", b"y"]),
    st.sampled_from([0, 0, 0, 0, 0, LONG]),
)
choices = st.integers(0, 1000)
"""Which of the deliveries at hand, counted round and round."""


class Mailboxes(ItemRules):
    """Does everything to both mailboxes, and compares what they answer."""

    def __init__(self, subject: Stage) -> None:
        super().__init__()
        self.model: Stage = VirtualStage()
        self.subject = subject
        self.held: list[Pair] = []
        self.settled: list[tuple[Settlement, Settlement]] = []
        self.completed: set[str] = set()
        self.ended: Counter[tuple[str, str]] = Counter()
        """How many deliveries of a queue were seen to end so; what is purged leaves no record."""
        self.lanes = LaneWatch()
        self.mended: dict[str, str] = {}
        """How dead letters were mended and by which run, by the names of the model's records."""
        self.chosen: list[Letter] = []

    @initialize(some=st.lists(postings, min_size=3, max_size=6))
    def begin_with_some(self, some: list[Posting]) -> None:
        self.publish(some)

    @rule(some=st.lists(postings, min_size=1, max_size=3))
    def publish(self, some: list[Posting]) -> None:
        verdicts = self.model.mailbox.publish(some)
        assert self.subject.mailbox.publish(some) == verdicts
        self.lanes.published(some, verdicts)

    @rule(queue=queues, limit=st.integers(0, 4), alone=st.booleans(), suspects=suspects)
    def fetch(self, queue: str, limit: int, alone: bool, suspects: Suspects) -> None:
        self._fetch(queue, max(limit, 1) if alone else limit, alone=alone, suspects=suspects)

    @rule(queue=queues, kinds=st.lists(outcomes, min_size=3, max_size=3), alone=st.booleans())
    def fetch_and_settle(self, queue: str, kinds: list[Outcome], alone: bool) -> None:
        pairs = self._fetch(queue, len(kinds), alone=alone)
        self._settle_held(list(zip(pairs, kinds, strict=False)), [])

    @rule(queue=queues, outcome=outcomes, some=st.lists(items, max_size=3, unique_by=lambda each: each.field))
    def fetch_and_work_on_items(self, queue: str, outcome: Outcome, some: list[ItemRecord]) -> None:
        for pair in self._fetch(queue, 1):
            assert self.write(pair, some) == [True]
            self._settle_held([(pair, outcome)], [])

    @rule(queue=queues, suspects=suspects)
    def fetch_and_crash(self, queue: str, suspects: Suspects) -> None:
        self._fetch(queue, 2, lease_ms=1, suspects=suspects)
        self._let_leases_end()

    @rule(queue=queues, times=st.integers(1, MAX_CRASHES))
    def crash_alone(self, queue: str, times: int) -> None:
        for _ in range(times):
            self._fetch(queue, 1, lease_ms=1, alone=True)
            self._let_leases_end()

    @precondition(lambda self: self.held)
    @rule(choice=choices)
    def let_a_lease_end(self, choice: int) -> None:
        self._renew([self._held(choice)], 1)
        self._let_leases_end()

    @precondition(lambda self: self.held)
    @rule(some=st.lists(choices, min_size=1, max_size=3))
    def renew(self, some: list[int]) -> None:
        self._renew([self._held(choice) for choice in some], LONG)

    @precondition(lambda self: self.held)
    @rule(
        some=st.lists(st.tuples(choices, outcomes), min_size=1, max_size=4),
        publishing=st.lists(postings, max_size=1),
    )
    def settle(self, some: list[tuple[int, Outcome]], publishing: list[Posting]) -> None:
        pairs = {id(pair): (pair, outcome) for choice, outcome in some for pair in [self._held(choice)]}
        self._settle_held(list(pairs.values()), publishing)

    @precondition(lambda self: self.settled)
    @rule(some=st.lists(choices, min_size=1, max_size=3))
    def settle_again(self, some: list[int]) -> None:
        group = [self.settled[choice % len(self.settled)] for choice in some]
        assert all(self._settle(group))

    @rule(queue=queues, one_in_four=st.integers(0, 3))
    def purge(self, queue: str, one_in_four: int) -> None:
        if one_in_four == 0:
            purged = self.model.mailbox.purge(queue)
            assert self.subject.mailbox.purge(queue) == purged
            self.ended[queue, "discarded"] += purged
            self.settled = [pair for pair in self.settled if pair[0].outcome.kind in FINAL]

    @rule(actor=st.sampled_from(sorted(QUEUE_OF)), key=st.sampled_from(["1", "2", "3", "4", "5", "6"]))
    def cancel(self, actor: str, key: str) -> None:
        self._change(lambda mailbox: mailbox.schedule.cancel(f"{actor}:{key}", "not now"))

    @rule(
        actor=st.sampled_from(sorted(QUEUE_OF)),
        key=st.sampled_from(["1", "2", "3", "4", "5", "6"]),
        after=st.sampled_from([After(delay_ms=LONG), After(delay_ms=2 * LONG), After(due_at=1)]),
    )
    def move(self, actor: str, key: str, after: After) -> None:
        (changed,) = self._change(lambda mailbox: mailbox.schedule.move(f"{actor}:{key}", after))
        if changed.became is Became.MOVED:
            self.lanes.moved(changed.id, comes_back=after.due_at == 1, keeps=self._was_tried(changed.id))

    @rule(queue=queues)
    def list_schedules(self, queue: str) -> None:
        mine, theirs = (list(each.mailbox.schedule.soonest([queue])) for each in (self.model, self.subject))
        assert sorted((each.id, each.attempts) for each in theirs) == sorted(
            (each.id, each.attempts) for each in mine
        )
        for listed in (mine, theirs):
            assert listed == sorted(listed, key=lambda each: each.place)

    @rule(queue=queues, one_in_three=st.integers(0, 2))
    def pause(self, queue: str, one_in_three: int) -> None:
        if one_in_three == 0:
            mine, theirs = (
                each.mailbox.controls.pause(queue, by="ann") for each in (self.model, self.subject)
            )
            assert (mine.by, mine.reason) == (theirs.by, theirs.reason)

    @rule(queue=queues)
    def resume(self, queue: str) -> None:
        mine, theirs = (each.mailbox.controls.resume(queue) for each in (self.model, self.subject))
        assert (mine is None) == (theirs is None)

    @rule(queue=queues, some=st.lists(choices, min_size=1, max_size=3), run=runs, again=st.booleans())
    def replay(self, queue: str, some: list[int], run: str, again: bool) -> None:
        letters = self._letters(queue, some, again=again)
        mine = self.model.mailbox.records.replay([_as_it_was(a) for a, _ in letters], run)
        theirs = self.subject.mailbox.records.replay([_as_it_was(b) for _, b in letters], run)
        assert theirs == mine
        for (letter, _), redress in zip(letters, mine, strict=True):
            before = self.mended.get(letter.id)
            if before is not None:
                assert redress is (Redress.DONE if before == f"replay {run}" else Redress.ALREADY)
            elif redress is Redress.DONE:
                # Invariant I3: what was completed within its window is not live again.
                assert letter.delivery not in self.completed
                self.mended[letter.id] = f"replay {run}"
                # Its record is no longer listed.
                self.ended[queue, "dead"] += 1
                self.lanes.replayed(letter.delivery, letter.lane)

    @rule(queue=queues, some=st.lists(choices, min_size=1, max_size=3), run=runs, again=st.booleans())
    def discard_letters(self, queue: str, some: list[int], run: str, again: bool) -> None:
        letters = self._letters(queue, some, again=again)
        mine = self.model.mailbox.records.discard([a.id for a, _ in letters], run)
        theirs = self.subject.mailbox.records.discard([b.id for _, b in letters], run)
        assert theirs == mine
        for (letter, _), redress in zip(letters, mine, strict=True):
            before = self.mended.setdefault(letter.id, f"discard {run}")
            assert redress is (Redress.DONE if before == f"discard {run}" else Redress.ALREADY)

    @rule(
        actor=st.sampled_from(sorted(QUEUE_OF)),
        queue=st.sampled_from(["", "", "", "orders", "stock"]),
        limit=st.sampled_from([None, 1, 1, 2, 3]),
        window_ms=st.sampled_from([1, 2]),
    )
    def register(self, actor: str, queue: str, limit: int | None, window_ms: int) -> None:
        windows = {"order.placed": window_ms}
        subscription = Subscription(actor, queue or QUEUE_OF[actor], windows, concurrency=limit)
        changes = []
        for mailbox in (self.model.mailbox, self.subject.mailbox):
            before = mailbox.routes()
            mailbox.register([subscription])
            after = mailbox.routes()
            changes.append((after.version > before.version, after.subscriptions, after.upheld))
        assert changes[0] == changes[1]

    @rule(leaving=st.booleans())
    def attend(self, leaving: bool) -> None:
        for mailbox in (self.model.mailbox, self.subject.mailbox):
            mailbox.heartbeat(WORKER, leaving=leaving)

    @invariant()
    def both_show_the_same_state_and_lose_nothing(self) -> None:
        model, subject = self.model.mailbox.info(), self.subject.mailbox.info()
        check_conservation(model)
        check_conservation(subject)
        for queue in set(QUEUE_OF.values()):
            assert _but_for_times(queue_of(subject, queue)) == _but_for_times(queue_of(model, queue))
        self._note_ends()

    def _letters(self, queue: str, some: list[int], *, again: bool) -> "list[Letter]":
        """Some of the dead letters, or of those that were mended already, as both mailboxes name them."""
        listed = [letters_in_order(each.mailbox, queue) for each in (self.model, self.subject)]
        assert [_told(each) for each in listed[0]] == [_told(each) for each in listed[1]]
        pairs = list(zip(*listed, strict=True))
        at_hand = [pair for pair in self.chosen if pair[0].queue == queue] if again else pairs
        chosen = {choice % len(at_hand): None for choice in some} if at_hand else {}
        letters = [at_hand[position] for position in chosen]
        self.chosen += [pair for pair in letters if pair not in self.chosen]
        return letters

    def teardown(self) -> None:
        self._finish_all()
        for queue in set(QUEUE_OF.values()):
            mine, theirs = (each.mailbox.ended(queue, 1000) for each in (self.model, self.subject))
            assert _endings(mine) == _endings(theirs)
            self._counters_are_the_sum_of_what_ended(queue, theirs)
        self.model.close()
        self.subject.close()

    def _counters_are_the_sum_of_what_ended(self, queue: str, records: list[EndedRecord]) -> None:
        """Invariant I6: whatever ended has one reason of the closed list, and is counted once."""
        assert all(each.reason in set(Reason) for each in records)
        self.ended += Counter((queue, each.kind.value) for each in records)
        state = queue_of(self.subject.mailbox.info(), queue)
        for kind in FINAL:
            assert getattr(state, kind.value) == self.ended[queue, kind.value], (kind, state)

    def _note_ends(self) -> None:
        assert isinstance(self.model.mailbox, MemoryMailbox)
        self.lanes.forget_all_but(self.model.mailbox._deliveries._live)

    def _change(self, change: Callable[[Mailbox], tuple[Changed, ...]]) -> tuple[Changed, ...]:
        mine, theirs = (change(each.mailbox) for each in (self.model, self.subject))
        assert theirs == mine
        # Whatever had come back and was cancelled since is no repetition of its settlement any more.
        gone = {each.id for each in mine if each.became is Became.CANCELLED}
        self.settled = [
            pair for pair in self.settled if pair[0].outcome.kind in FINAL or pair[0].delivery.id not in gone
        ]
        return mine

    def _was_tried(self, identity: str) -> bool:
        (found,) = self.model.mailbox.records.find(identity)
        return found.live is not None and found.live.history != NO_HISTORY

    def _held(self, choice: int) -> Pair:
        return self.held[choice % len(self.held)]

    def _fetch(
        self,
        queue: str,
        limit: int,
        *,
        lease_ms: int = LONG,
        alone: bool = False,
        suspects: Suspects = EACH_ALONE,
    ) -> list[Pair]:
        mine, theirs = (
            each.mailbox.fetch(queue, limit, owner=WORKER, lease_ms=lease_ms, alone=alone, suspects=suspects)
            for each in (self.model, self.subject)
        )
        assert _handed_out(theirs) == _handed_out(mine)
        leased = {delivery.id for delivery in mine.deliveries}
        self._note_ends()
        self.lanes.fetched(mine.deliveries)
        if not alone and not any(each.suspect for each in mine.deliveries):
            self._no_more_than_a_limit_is_held(queue, leased)
        assert not leased & self.completed
        assert not leased or queue_of(self.model.mailbox.info(), queue).paused is None
        pairs = list(zip(mine.deliveries, theirs.deliveries, strict=True))
        self.held += pairs
        # A repeated settlement is known until its delivery is leased again, and that is all it takes.
        self.settled = [
            pair
            for pair in self.settled
            if pair[0].outcome.kind in FINAL or pair[0].delivery.id not in leased
        ]
        return pairs

    def _let_leases_end(self) -> None:
        self.model.let_pass(2)
        self.subject.let_pass(2)

    def _renew(self, pairs: list[Pair], lease_ms: int) -> None:
        mine = self.model.mailbox.renew([pair[0] for pair in pairs], lease_ms)
        theirs = self.subject.mailbox.renew([pair[1] for pair in pairs], lease_ms)
        assert sorted(each.id for each in theirs) == sorted(each.id for each in mine)

    def _no_more_than_a_limit_is_held(self, queue: str, leased: set[str]) -> None:
        for lane in queue_of(self.model.mailbox.info(), queue).lanes:
            if lane.limit is not None and any(each.startswith(f"{lane.lane}:") for each in leased):
                assert lane.held <= lane.limit, lane

    def _finish_all(self) -> None:
        """Whatever can be handed out gets done, and then nothing waits but for a retry that is not due."""
        self._settle_held([(pair, SUCCEEDED) for pair in self.held], [])
        self._note_ends()
        for queue in set(QUEUE_OF.values()):
            self.resume(queue)
            for alone in (True, False):
                while pairs := self._fetch(queue, 2, alone=alone):
                    self._settle_held([(pair, SUCCEEDED) for pair in pairs], [])
                    self._note_ends()
            state = queue_of(self.model.mailbox.info(), queue)
            assert (state.ready, state.leased, state.suspects) == (0, 0, 0)
            assert state.scheduled or not state.waiting
            assert not any(lane.held + lane.waiting for lane in state.lanes if not lane.ordered)

    def _settle_held(self, some: list[tuple[Pair, Outcome]], publishing: list[Posting]) -> None:
        group = []
        # The servers settle plain successes first, which tells in the order of what they let in.
        for pair, outcome in sorted(some, key=lambda each: each[1] is not SUCCEEDED or bool(publishing)):
            self.held.remove(pair)
            out = publishing if outcome.kind in COMPLETED else []
            mine, theirs = (self.told_of_items(settlement(each, outcome, *out), pair[0]) for each in pair)
            group.append((mine, theirs))
        for (mine, theirs), held in zip(group, self._settle(group), strict=True):
            if held:
                self._note(mine)
                self.settled.append((mine, theirs))

    def _settle(self, group: list[tuple[Settlement, Settlement]]) -> list[bool]:
        mine = self.model.mailbox.settle([pair[0] for pair in group])
        theirs = self.subject.mailbox.settle([pair[1] for pair in group])
        assert theirs == mine
        return mine

    def _note(self, done: Settlement) -> None:
        self.lanes.ended_by(done)
        if done.outcome.kind in COMPLETED:
            # Invariant I3; no window ends while a test runs.
            assert done.delivery.id not in self.completed
            self.completed.add(done.delivery.id)
            self.ended[done.delivery.queue, done.outcome.kind.value] += 1


def _but_for_times(queue: QueueInfo) -> QueueInfo:
    letters = DeadLettersInfo(queue.dead_letters.count)
    return replace(queue, paused=queue.paused and replace(queue.paused, at=0), dead_letters=letters)


def _as_it_was(letter: EndedRecord) -> Replay:
    return Replay(letter.id, letter.delivery, letter.queue, MIN_WINDOW_MS)


def _told(record: EndedRecord) -> tuple[object, ...]:
    return record.delivery, record.reason, record.history, record.body, record.lane


def _handed_out(fetched: Fetched) -> tuple[object, ...]:
    deliveries = [
        (each.id, each.attempt, each.history, each.alone, each.suspect, bytes(each.body))
        for each in fetched.deliveries
    ]
    return deliveries, fetched.waiting, fetched.suspects, fetched.next_in_ms is None, fetched.together


def _endings(records: list[EndedRecord]) -> list[tuple[object, ...]]:
    return sorted((each.id.partition("#")[0], each.kind, each.reason, repr(each.history)) for each in records)


@pytest.mark.timeout(600)  # a failure is shrunk for minutes before it is shown
@pytest.mark.parametrize("server", ["valkey", "redis_server"])
def test_a_server_answers_as_memory_does(
    server: str, request: pytest.FixtureRequest, open_stage: Callable[[str], Stage]
) -> None:
    url = request.getfixturevalue(server).url

    class AgainstServer(Mailboxes):
        def __init__(self) -> None:
            super().__init__(open_stage(url))

    run_state_machine_as_test(
        AgainstServer,
        settings=settings(
            max_examples=int(os.environ.get("STATE_MACHINE_EXAMPLES", "50")),
            stateful_step_count=40,
            deadline=None,
            derandomize="CI" in os.environ,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
