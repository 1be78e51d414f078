"""The layer renews while the handler runs, and neither loses nor invents an end when its store fails."""

import time
from collections.abc import Iterator

import pytest

from callboard import RejectEvent
from callboard.messages.delivery import SUCCEEDED, Outcome, OutcomeKind
from callboard.middleware.attempt import Attempt
from callboard.middleware.dedup.layer import UNREACHABLE_MS, Deduplicate
from callboard.middleware.dedup.memory import MemoryDedupStore
from callboard.middleware.dedup.option import Dedup
from callboard.middleware.dedup.renewer import Held, Renewer
from callboard.middleware.dedup.store import Claim, ClaimVerdict
from tests.middleware.dedup.attempts import FailingStore, attempt, perform, raising

KEY = "handler:e-1"


@pytest.fixture
def failing() -> FailingStore:
    return FailingStore()


@pytest.fixture
def layer() -> Iterator[Deduplicate]:
    made = Deduplicate()
    yield made
    made.close(5)


def taken_over(store: MemoryDedupStore) -> Claim:
    """The claim of another process, as soon as the key is free."""
    fingerprint = attempt(None).delivery.fingerprint
    while (claim := store.claim(KEY, fingerprint, owner="another", lease_ms=1000)).wait_ms:
        time.sleep(claim.wait_ms / 1000)
    assert claim.verdict is ClaimVerdict.FRESH
    return claim


def never(_: Attempt) -> None:
    raise AssertionError("the handler ran")


# Without a store.


def test_when_the_store_cannot_be_reached_the_handler_does_not_run(
    failing: FailingStore, layer: Deduplicate
) -> None:
    failing.failures = 1
    made = attempt(Dedup(store=failing))
    outcome = perform(layer, made, never)
    assert outcome.kind is OutcomeKind.RELEASED
    assert UNREACHABLE_MS / 2 <= outcome.delay_ms <= UNREACHABLE_MS
    assert made.history(outcome.error).attempts == 0


def test_a_fault_of_the_store_lets_the_handler_not_run_either(layer: Deduplicate) -> None:
    class Broken(MemoryDedupStore):
        def claim(
            self, key: str, fingerprint: bytes, *, owner: str, lease_ms: int, charged: bool = True
        ) -> Claim:
            raise ZeroDivisionError

    assert perform(layer, attempt(Dedup(store=Broken())), never).kind is OutcomeKind.RETRIED


def test_a_claim_whose_answer_was_lost_is_let_go_and_charged_to_nobody(
    failing: FailingStore, layer: Deduplicate
) -> None:
    failing.failures, failing.forgets_answers = 1, True
    assert perform(layer, attempt(Dedup(store=failing)), never).kind is OutcomeKind.RELEASED
    assert failing.ended.wait(20)
    claim = failing.claim(KEY, attempt(None).delivery.fingerprint, owner="another", lease_ms=1000)
    assert (claim.verdict, claim.takeovers) == (ClaimVerdict.FRESH, 0)


def test_a_commit_that_could_not_be_written_is_written_when_the_store_is_back(
    failing: FailingStore, layer: Deduplicate
) -> None:
    def handler(_: Attempt) -> None:
        failing.failures = 2

    assert perform(layer, attempt(Dedup(store=failing, lease="6s")), handler) == SUCCEEDED
    assert failing.ended.wait(20)
    assert perform(layer, attempt(Dedup(store=failing)), never).kind is OutcomeKind.DUPLICATE


@pytest.mark.parametrize("error", [None, ValueError(), RejectEvent()])
def test_an_end_that_cannot_be_written_while_the_lease_lasts_changes_no_outcome(
    failing: FailingStore, error: Exception | None
) -> None:
    def handler(_: Attempt) -> None:
        failing.failures = 1_000_000
        if error:
            raise error

    layer = Deduplicate()
    expected = perform(Deduplicate(), attempt(None), raising(error) if error else lambda _: None)
    outcome = perform(layer, attempt(Dedup(store=failing, lease="60ms")), handler)
    assert (outcome.kind, outcome.reason) == (expected.kind, expected.reason)
    layer.close(20)
    failing.failures = 0
    assert taken_over(failing).takeovers == 0  # what ran beside others is charged nothing


# While the handler runs.


def test_the_claims_of_running_handlers_are_renewed_by_one_thread(
    failing: FailingStore, layer: Deduplicate
) -> None:
    def nested(depth: int) -> Outcome:
        said = Dedup(store=failing, lease="90ms", key=lambda _: str(depth))
        return perform(layer, attempt(said), lambda _: nested(depth - 1) if depth else renewals())

    def renewals() -> None:
        for _ in range(20):
            assert failing.renewed.acquire(timeout=20)

    assert nested(4) == SUCCEEDED
    assert failing.renewing == {"callboard-dedup-renewer"}


def test_the_claim_of_a_stuck_handler_is_not_renewed_any_more(
    failing: FailingStore, layer: Deduplicate
) -> None:
    def handler(made: Attempt) -> None:
        assert failing.renewed.acquire(timeout=20)
        made.is_stuck = True
        fingerprint = made.delivery.fingerprint
        while failing.claim(KEY, fingerprint, owner="me", lease_ms=1000).verdict is not ClaimVerdict.FRESH:
            failing.renewed.acquire(timeout=0.005)

    assert perform(layer, attempt(Dedup(store=failing, lease="90ms")), handler).kind is OutcomeKind.RELEASED


def test_a_renewal_that_failed_is_tried_again(failing: FailingStore, layer: Deduplicate) -> None:
    def handler(_: Attempt) -> None:
        failing.failures = 2
        assert failing.renewed.acquire(timeout=20)

    assert perform(layer, attempt(Dedup(store=failing, lease="300ms")), handler) == SUCCEEDED


def test_a_fork_does_not_renew_what_its_parent_holds(failing: FailingStore) -> None:
    renewer = Renewer(failing)
    held = Held(failing.claim("A", b"x", owner="me", lease_ms=30), until=time.monotonic())
    renewer._held, renewer._process = {held}, -1
    ours = Held(failing.claim("B", b"x", owner="me", lease_ms=30), until=time.monotonic())
    renewer.hold(ours)
    assert renewer._copy() == [ours]
    renewer.close(20)
