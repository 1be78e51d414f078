"""The layer claims before the handler runs and settles what it came to; without an answer nothing runs."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from callboard import DiscardEvent, RejectEvent, Retry
from callboard.actors.mailbox.memory import VirtualClock
from callboard.messages.delivery import RELEASED, SUCCEEDED, Outcome, OutcomeKind, Reason
from callboard.middleware.attempt import Attempt
from callboard.middleware.dedup.claims import DEFERRED_MS
from callboard.middleware.dedup.layer import Deduplicate, wants_store
from callboard.middleware.dedup.memory import MemoryDedupStore
from callboard.middleware.dedup.option import DEFAULT_WINDOW_MS, Dedup
from callboard.middleware.dedup.store import TAKEOVER_LIMIT, Claim, ClaimVerdict
from callboard.middleware.discard import Discard
from callboard.middleware.guarded import Guarded, Handler
from tests.middleware.dedup.attempts import (
    CONTRACT_WINDOW_MS,
    WATCH,
    OrderPlaced,
    attempt,
    message,
    perform,
    raising,
)

KEY = "handler:e-1"


class Stage:
    """The layer with a store in virtual time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryDedupStore(clock=self.clock)
        self.layer = Deduplicate()
        self.said = Dedup(store=self.store)

    def perform(
        self,
        invoke: Callable[[Attempt], Any] = lambda _: None,
        event: OrderPlaced | None = None,
        said: Dedup | None = None,
        **more: Any,
    ) -> Outcome:
        """Run one attempt."""
        return perform(self.layer, attempt(said or self.said, event, **more), invoke)

    def elsewhere(self, body: bytes | None = None, key: str = KEY) -> Claim:
        """What another process is answered, whose message has the same body unless another is given."""
        fingerprint = body or attempt(None).delivery.fingerprint
        return self.store.claim(key, fingerprint, owner="another", lease_ms=30_000)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def never(_: Attempt) -> None:
    raise AssertionError("the handler ran")


# Before the handler.


def test_a_fresh_key_lets_the_handler_run_while_others_are_kept_out(stage: Stage) -> None:
    seen: list[ClaimVerdict] = []
    assert stage.perform(lambda _: seen.append(stage.elsewhere().verdict)) == SUCCEEDED
    assert seen == [ClaimVerdict.IN_PROGRESS]


def test_a_completed_key_is_a_duplicate_and_the_handler_does_not_run(stage: Stage) -> None:
    stage.perform()
    assert stage.perform(never).kind is OutcomeKind.DUPLICATE


def test_a_key_in_progress_is_deferred_and_no_attempt_is_charged(stage: Stage) -> None:
    stage.elsewhere()
    made = attempt(stage.said)
    outcome = perform(stage.layer, made, never)
    assert (outcome.kind, outcome.delay_ms) == (OutcomeKind.RELEASED, DEFERRED_MS)
    assert made.history(outcome.error).attempts == 0


def test_a_deferred_delivery_does_not_wait_longer_than_the_other_s_lease(stage: Stage) -> None:
    stage.elsewhere()
    stage.clock.advance(30_000 - 7)
    assert stage.perform(never).delay_ms == 7


def test_a_key_known_with_another_body_is_dead(stage: Stage) -> None:
    stage.elsewhere(b"another body")
    outcome = stage.perform(never)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.DEAD, Reason.PAYLOAD_CONFLICT)


def test_a_key_whose_workers_were_lost_too_often_is_dead_and_then_free_again(stage: Stage) -> None:
    for number in range(1 + TAKEOVER_LIMIT):
        stage.store.claim(KEY, attempt(None).delivery.fingerprint, owner=str(number), lease_ms=10)
        stage.clock.advance(10)
    outcome = stage.perform(never)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.DEAD, Reason.POISON)
    assert stage.perform() == SUCCEEDED


def test_without_a_store_of_its_own_an_actor_is_left_to_the_mailbox(stage: Stage) -> None:
    for said in (None, Dedup(window="1h")):
        made = attempt(said)
        assert perform(stage.layer, made) == SUCCEEDED
        assert not wants_store(made.policy)
    assert wants_store(attempt(stage.said).policy)


# After the handler.


def test_a_retried_attempt_lets_the_key_go_and_keeps_its_body_in_mind(stage: Stage) -> None:
    assert stage.perform(raising(ValueError())).kind is OutcomeKind.RETRIED
    assert stage.elsewhere(b"another body").verdict is ClaimVerdict.CONFLICT
    assert stage.perform() == SUCCEEDED


@pytest.mark.parametrize(
    ("error", "kind"), [(RejectEvent(), OutcomeKind.DEAD), (DiscardEvent(), OutcomeKind.DISCARDED)]
)
def test_a_delivery_that_ended_otherwise_leaves_its_key_free(
    stage: Stage, error: Exception, kind: OutcomeKind
) -> None:
    assert stage.perform(raising(error)).kind is kind
    assert stage.elsewhere(b"another body").verdict is ClaimVerdict.FRESH


def test_the_last_attempt_leaves_its_key_free(stage: Stage) -> None:
    assert stage.perform(raising(ValueError()), retry_by=Retry.never()).kind is OutcomeKind.DEAD
    assert stage.elsewhere(b"another body").verdict is ClaimVerdict.FRESH


def test_what_is_discarded_after_its_failure_leaves_its_key_free(stage: Stage) -> None:
    outcome = stage.perform(raising(ValueError()), discard=[Discard(max_attempts=1)])
    assert (outcome.kind, outcome.reason) == (OutcomeKind.DISCARDED, Reason.MAX_ATTEMPTS)
    assert stage.elsewhere(b"another body").verdict is ClaimVerdict.FRESH


def test_a_worker_that_lost_the_key_does_not_complete_its_delivery(stage: Stage) -> None:
    def outlived(_: Attempt) -> None:
        stage.clock.advance(30_000)
        assert stage.elsewhere().verdict is ClaimVerdict.FRESH

    outcome = stage.perform(outlived)
    assert (outcome.kind, outcome.delay_ms) == (OutcomeKind.RELEASED, DEFERRED_MS)


@pytest.mark.parametrize(("said", "ms"), [(None, CONTRACT_WINDOW_MS), ("2s", 2000), (0.5, 500)])
def test_the_window_is_the_option_s_or_the_contract_s_and_counts_from_the_completion(
    stage: Stage, said: str | float | None, ms: int
) -> None:
    stage.perform(lambda _: stage.clock.advance(20_000), said=Dedup(store=stage.store, window=said))
    stage.clock.advance(ms - 1)
    assert stage.elsewhere().verdict is ClaimVerdict.DONE
    stage.clock.advance(1)
    assert stage.elsewhere().verdict is ClaimVerdict.FRESH


def test_a_plain_actor_s_window_is_a_day(stage: Stage) -> None:
    perform(stage.layer, message(stage.said))
    stage.clock.advance(DEFAULT_WINDOW_MS - 1)
    assert perform(stage.layer, message(stage.said), never).kind is OutcomeKind.DUPLICATE
    stage.clock.advance(1)
    assert perform(stage.layer, message(stage.said)) == SUCCEEDED


# `async def` handlers.


def run_async(layer: Deduplicate, made: Attempt, invoke: Callable[[Attempt], Any]) -> Outcome:
    return asyncio.run(Guarded(Handler(invoke, made.policy, is_async=True), [layer], WATCH).aperform(made))


def test_async_handlers_are_guarded_alike(stage: Stage) -> None:
    async def handler(_: Attempt) -> None:
        await asyncio.sleep(0)
        assert stage.elsewhere().verdict is ClaimVerdict.IN_PROGRESS

    assert run_async(stage.layer, attempt(stage.said), handler) == SUCCEEDED
    assert run_async(stage.layer, attempt(stage.said), never).kind is OutcomeKind.DUPLICATE


def test_an_async_handler_that_is_cancelled_lets_its_key_go(stage: Stage) -> None:
    async def scene() -> None:
        started = asyncio.Event()

        async def handler(_: Attempt) -> None:
            started.set()
            await asyncio.Event().wait()

        guarded = Guarded(Handler(handler, attempt(stage.said).policy, is_async=True), [stage.layer], WATCH)
        task = asyncio.ensure_future(guarded.aperform(attempt(stage.said)))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    claim = stage.elsewhere()
    assert (claim.verdict, claim.takeovers) == (ClaimVerdict.FRESH, 0)


def test_an_async_handler_that_is_cancelled_while_its_claim_is_asked_for_lets_it_go_too(
    stage: Stage,
) -> None:
    asked, answer, let_go = (threading.Event() for _ in range(3))

    class SlowStore(MemoryDedupStore):
        def claim(self, *given: Any, **more: Any) -> Claim:
            made = super().claim(*given, **more)
            asked.set()
            assert answer.wait(20)
            return made

        def release(self, claim: Claim, *, forget: bool = False) -> bool:
            was_held = super().release(claim, forget=forget)
            let_go.set()
            return was_held

    store = SlowStore(clock=stage.clock)
    said = Dedup(store=store)

    async def scene() -> None:
        guarded = Guarded(Handler(never, attempt(said).policy, is_async=True), [stage.layer], WATCH)
        task = asyncio.ensure_future(guarded.aperform(attempt(said)))
        await asyncio.to_thread(asked.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        closing = threading.Thread(target=stage.layer.close, args=(20,))
        closing.start()
        closing.join(0.05)
        assert closing.is_alive(), "the layer closed with a claim on its way"
        answer.set()
        closing.join(20)
        assert let_go.is_set()

    asyncio.run(scene())
    claim = store.claim(KEY, attempt(None).delivery.fingerprint, owner="another", lease_ms=30_000)
    assert (claim.verdict, claim.takeovers) == (ClaimVerdict.FRESH, 0)


@pytest.mark.parametrize(("alone", "takeovers"), [(True, 1), (False, 0)])
def test_a_lost_worker_is_charged_for_what_the_mailbox_let_it_run_alone(
    stage: Stage, alone: bool, takeovers: int
) -> None:
    """Invariant I15: buffered neighbours of a crash are not charged, in a store as in the mailbox."""
    made = attempt(stage.said)
    made.delivery.alone = alone
    lost = stage.layer(made)
    next(lost)
    stage.clock.advance(60_000)
    assert stage.elsewhere().takeovers == takeovers


def test_on_other_brokers_a_lost_worker_is_charged_for_what_it_began_with_nothing_else_in_hand(
    stage: Stage,
) -> None:
    said = Dedup(store=stage.store, key=lambda which: which)
    lost = [stage.layer(message(said, which)) for which in "ab"]
    for each in lost:
        next(each)
    stage.clock.advance(60_000)
    taken = [stage.store.claim(f"plain:{which}", b"0" * 16, owner="me", lease_ms=1) for which in "ab"]
    assert [each.takeovers for each in taken] == [1, 0]


def test_a_released_attempt_lets_its_key_go(stage: Stage) -> None:
    generator = stage.layer(attempt(stage.said))
    next(generator)
    with pytest.raises(StopIteration) as answer:
        generator.send(RELEASED)
    assert answer.value.value == RELEASED
    assert stage.elsewhere().verdict is ClaimVerdict.FRESH
