"""What every store answers to claims, renewals, commits and releases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from callboard.messages.errors import StoreUnavailable
from callboard.middleware.dedup.store import TAKEOVER_LIMIT, Claim, ClaimVerdict, DedupStore
from tests.middleware.dedup.mailbox_store import WINDOW_MS
from tests.middleware.dedup.stages import BRIEF, DAY, LONG, OTHER, Stage, renewed_for

FRESH, IN_PROGRESS, DONE, CONFLICT, POISON = ClaimVerdict


def commit(store: DedupStore, claim: Claim) -> bool:
    return store.commit(claim, WINDOW_MS)


def release(store: DedupStore, claim: Claim) -> bool:
    return store.release(claim)


def forget(store: DedupStore, claim: Claim) -> bool:
    return store.release(claim, forget=True)


ENDINGS = [commit, release, forget]

Ending = Callable[[DedupStore, Claim], bool]


# One key.


def test_a_key_that_nobody_asked_for_is_fresh(stage: Stage) -> None:
    claim = stage.claim("A-1", owner="me")
    assert (claim.key, claim.verdict, claim.owner) == ("A-1", FRESH, "me")
    assert claim.fence > 0


def test_a_key_that_another_works_on_is_in_progress(stage: Stage) -> None:
    stage.take()
    claim = stage.claim()
    assert (claim.verdict, claim.fence) == (IN_PROGRESS, 0)
    assert 0 < claim.wait_ms <= LONG


def test_a_key_that_was_completed_is_done(stage: Stage) -> None:
    assert commit(stage.store, stage.take())
    assert [stage.claim().verdict for _ in range(3)] == [DONE] * 3


def test_a_released_key_is_fresh_for_the_next_with_a_larger_fence(stage: Stage) -> None:
    first = stage.take()
    assert release(stage.store, first)
    second = stage.take()
    assert second.fence > first.fence
    assert stage.claim().verdict is IN_PROGRESS


def test_a_forgotten_key_is_free_for_any_body(stage: Stage) -> None:
    first = stage.take()
    assert forget(stage.store, first)
    assert stage.take(body=OTHER).fence > first.fence


def test_another_body_is_a_conflict_while_the_key_is_worked_on(stage: Stage) -> None:
    stage.take()
    assert stage.claim(body=OTHER).verdict is CONFLICT


def test_another_body_is_a_conflict_while_the_key_waits_for_its_next_attempt(stage: Stage) -> None:
    release(stage.store, stage.take())
    assert stage.claim(body=OTHER).verdict is CONFLICT
    assert stage.claim().verdict is FRESH


def test_another_body_is_a_conflict_after_the_completion(stage: Stage) -> None:
    commit(stage.store, stage.take())
    assert stage.claim(body=OTHER).verdict is CONFLICT
    assert stage.claim().verdict is DONE


def test_another_body_does_not_take_over_a_lost_key(stage: Stage) -> None:
    stage.lose()
    assert stage.claim(body=OTHER).verdict is CONFLICT
    assert stage.claim().verdict is FRESH


def test_keys_do_not_know_of_each_other(stage: Stage) -> None:
    commit(stage.store, stage.take("A-1"))
    stage.take("A-2")
    assert stage.claim("A-3", OTHER).verdict is FRESH
    assert [stage.claim(key).verdict for key in ("A-1", "A-2")] == [DONE, IN_PROGRESS]


def test_fences_grow_whatever_became_of_the_claims_before(stage: Stage) -> None:
    fences = []
    for ending in (release, forget, release, forget):
        claim = stage.take()
        fences.append(claim.fence)
        assert ending(stage.store, claim)
    assert fences == sorted(set(fences))


# Leases.


def test_a_lease_that_ran_out_is_taken_over_with_a_larger_fence(stage: Stage) -> None:
    lost = stage.lose()
    taken = stage.take()
    assert taken.fence > lost.fence
    assert stage.claim().verdict is IN_PROGRESS


def test_a_renewed_lease_is_not_taken_over(stage: Stage) -> None:
    claim = stage.take(lease_ms=BRIEF)
    assert stage.store.renew(renewed_for(claim, LONG))
    stage.let_pass(BRIEF)
    assert stage.claim().verdict is IN_PROGRESS


@pytest.mark.parametrize("ending", ENDINGS)
def test_who_lost_the_key_can_neither_renew_nor_end_it(stage: Stage, ending: Ending) -> None:
    lost = stage.lose()
    taken = stage.take()
    assert not stage.store.renew(lost)
    assert not ending(stage.store, lost)
    assert stage.claim().verdict is IN_PROGRESS
    assert commit(stage.store, taken)


@pytest.mark.parametrize("ending", ENDINGS)
def test_who_lost_the_key_changes_nothing_when_the_other_has_completed_it(
    stage: Stage, ending: Ending
) -> None:
    lost = stage.lose()
    commit(stage.store, stage.take())
    assert not stage.store.renew(lost)
    assert not ending(stage.store, lost)
    assert stage.claim().verdict is DONE


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_lease_that_ran_out_and_was_not_taken_over_can_still_be_ended(stage: Stage, ending: Ending) -> None:
    assert ending(stage.store, stage.lose())


def test_a_key_whose_owners_are_lost_too_often_is_poison_until_it_is_forgotten(stage: Stage) -> None:
    for _ in range(1 + TAKEOVER_LIMIT):
        stage.lose()
    claim = stage.claim()
    assert claim.verdict is POISON
    assert forget(stage.store, claim)
    assert stage.claim().verdict is FRESH


def test_releases_are_no_takeovers_however_many(stage: Stage) -> None:
    for _ in range(3 * TAKEOVER_LIMIT):
        release(stage.store, stage.take(lease_ms=BRIEF))
    stage.let_pass(BRIEF)
    assert stage.claim().verdict is FRESH


# What is sent again.


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_that_is_sent_again_is_answered_as_it_was(stage: Stage, ending: Ending) -> None:
    claim = stage.take()
    assert ending(stage.store, claim)
    assert ending(stage.store, claim)


def test_a_release_that_is_sent_again_leaves_the_next_owner_alone(stage: Stage) -> None:
    first = stage.take()
    release(stage.store, first)
    second = stage.take()
    release(stage.store, first)
    assert stage.claim().verdict is IN_PROGRESS
    assert commit(stage.store, second)


@pytest.mark.parametrize("ending", [release, forget])
def test_a_completion_cannot_be_taken_back(stage: Stage, ending: Ending) -> None:
    claim = stage.take()
    commit(stage.store, claim)
    assert not ending(stage.store, claim)
    assert not stage.store.renew(claim)
    assert stage.claim().verdict is DONE


@pytest.mark.parametrize("ending", [release, forget])
def test_what_was_let_go_cannot_be_completed(stage: Stage, ending: Ending) -> None:
    claim = stage.take()
    ending(stage.store, claim)
    assert not commit(stage.store, claim)
    assert not stage.store.renew(claim)
    assert stage.claim().verdict is FRESH


# How long.


def test_the_window_counts_from_the_completion(virtual_stage: Stage) -> None:
    claim = virtual_stage.take(lease_ms=10 * DAY)
    virtual_stage.let_pass(3 * DAY)
    commit(virtual_stage.store, claim)
    virtual_stage.let_pass(WINDOW_MS - 1)
    assert virtual_stage.claim().verdict is DONE
    virtual_stage.let_pass(1)
    assert virtual_stage.claim(body=OTHER).verdict is FRESH


@pytest.mark.parametrize("wait", [DAY, 366 * DAY])
def test_a_key_that_waits_for_its_next_attempt_is_remembered_however_long(
    virtual_stage: Stage, wait: int
) -> None:
    first = virtual_stage.take()
    release(virtual_stage.store, first)
    virtual_stage.let_pass(wait)
    assert virtual_stage.claim(body=OTHER).verdict is CONFLICT
    assert virtual_stage.take().fence > first.fence


# Many at once, and the end.


def test_of_many_threads_one_gets_the_key(stage: Stage) -> None:
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(lambda _: stage.claim(), range(64)))
    assert sorted(claim.verdict for claim in claims) == [FRESH] + [IN_PROGRESS] * 63


def test_a_closed_store_says_so(stage: Stage) -> None:
    stage.store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        stage.claim()
