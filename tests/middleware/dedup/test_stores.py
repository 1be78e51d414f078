"""What the stores promise beyond what a mailbox does as one, and what theirs alone is."""

from collections.abc import Callable

import redis

from callboard.actors.mailbox.memory import VirtualClock
from callboard.middleware.dedup.memory import MemoryDedupStore
from callboard.middleware.dedup.redis import RedisDedupStore
from callboard.middleware.dedup.store import REMEMBERED_MS, TAKEOVER_LIMIT, Claim, ClaimVerdict
from tests.middleware.dedup.stages import BODY, BRIEF, DAY, LONG, OTHER, ServerStage, Stage

FRESH, IN_PROGRESS, DONE, CONFLICT, POISON = ClaimVerdict


def unanswered(owner: str) -> Claim:
    """A claim to which no answer came."""
    return Claim(key="A-1", verdict=FRESH, owner=owner, lease_ms=LONG)


# A claim that is sent again.


def test_the_same_owner_asking_again_has_the_claim_it_had(store_stage: Stage) -> None:
    first = store_stage.claim(owner="me")
    again = store_stage.claim(owner="me")
    assert (again.verdict, again.fence) == (FRESH, first.fence)
    assert store_stage.claim(owner="you").verdict is IN_PROGRESS


def test_the_same_owner_asking_again_is_no_takeover_though_the_lease_ran_out(store_stage: Stage) -> None:
    first = store_stage.claim(owner="me", lease_ms=BRIEF)
    store_stage.let_pass(BRIEF)
    again = store_stage.claim(owner="me")
    assert (again.fence, again.takeovers) == (first.fence, 0)


def test_a_claim_without_an_answer_can_be_let_go_and_is_no_takeover(store_stage: Stage) -> None:
    store_stage.claim(owner="me")
    assert store_stage.store.release(unanswered("me"))
    taken = store_stage.claim(owner="you")
    assert (taken.verdict, taken.takeovers) == (FRESH, 0)
    assert not store_stage.store.release(unanswered("me"))
    assert store_stage.claim(owner="they").verdict is IN_PROGRESS


def test_letting_go_of_a_claim_that_was_never_made_changes_nothing(store_stage: Stage) -> None:
    assert not store_stage.store.release(unanswered("me"))
    assert store_stage.claim(body=OTHER).verdict is FRESH


# Takeovers and windows.


def test_a_claim_tells_how_many_owners_were_lost(store_stage: Stage) -> None:
    for lost in range(TAKEOVER_LIMIT):
        assert store_stage.lose().takeovers == lost
    assert store_stage.take().takeovers == TAKEOVER_LIMIT


def test_takeovers_stay_remembered_after_a_release(store_stage: Stage) -> None:
    for _ in range(TAKEOVER_LIMIT):
        store_stage.lose()
    store_stage.store.release(store_stage.take())
    store_stage.lose()
    assert store_stage.claim().verdict is POISON


def test_takeovers_are_over_with_the_completion(store_stage: Stage) -> None:
    store_stage.lose()
    store_stage.store.commit(store_stage.take(), BRIEF)
    store_stage.let_pass(BRIEF)
    assert store_stage.take().takeovers == 0


def test_a_claim_that_is_not_charged_is_no_takeover_however_often_it_is_lost(store_stage: Stage) -> None:
    """Invariant I15: what was lost beside others is not to blame."""
    for _ in range(2 * TAKEOVER_LIMIT):
        assert store_stage.lose(charged=False).takeovers == 0
    for lost in range(TAKEOVER_LIMIT):
        assert store_stage.lose().takeovers == lost
    assert store_stage.lose(charged=False).takeovers == TAKEOVER_LIMIT
    assert store_stage.lose().takeovers == TAKEOVER_LIMIT
    assert store_stage.claim(charged=False).verdict is POISON


def test_the_same_owner_asking_again_stays_charged_as_it_was(store_stage: Stage) -> None:
    store_stage.claim(owner="same", lease_ms=BRIEF, charged=False)
    store_stage.claim(owner="same", lease_ms=BRIEF)
    store_stage.let_pass(BRIEF)
    assert store_stage.take().takeovers == 0


def test_poison_tells_the_fence_of_the_owner_that_was_lost_last(store_stage: Stage) -> None:
    lost = [store_stage.lose() for _ in range(1 + TAKEOVER_LIMIT)]
    claim = store_stage.claim()
    assert (claim.verdict, claim.fence, claim.takeovers) == (POISON, lost[-1].fence, TAKEOVER_LIMIT)
    assert store_stage.store.commit(lost[-1], DAY)


def test_a_window_is_as_long_as_was_said_however_short(store_stage: Stage) -> None:
    claim = store_stage.take()
    store_stage.let_pass(BRIEF)
    assert store_stage.store.commit(claim, BRIEF)
    store_stage.let_pass(BRIEF)
    assert store_stage.store.commit(claim, BRIEF)
    assert store_stage.claim(body=OTHER).verdict is FRESH


# In memory.


def test_memory_clears_what_its_time_is_over_for() -> None:
    clock = VirtualClock()
    store = MemoryDedupStore(clock=clock)
    for number in range(100):
        store.commit(store.claim(f"A-{number}", BODY, owner="me", lease_ms=LONG), DAY)
    assert len(store) == 100
    clock.advance(DAY)
    store.claim("B-1", BODY, owner="me", lease_ms=LONG)
    assert len(store) == 1


def test_memory_can_be_told_how_many_owners_may_be_lost() -> None:
    clock = VirtualClock()
    store = MemoryDedupStore(clock=clock, takeover_limit=0)
    store.claim("A-1", BODY, owner="me", lease_ms=BRIEF)
    clock.advance(BRIEF)
    assert store.claim("A-1", BODY, owner="you", lease_ms=BRIEF).verdict is POISON


# On a server.


def keys_of(stage: ServerStage) -> set[str]:
    return {bytes(key).decode() for key in stage.client.scan_iter(f"*{stage.namespace}*")}


def test_all_keys_share_the_tag_of_the_namespace(served_stage: ServerStage) -> None:
    served_stage.take("A-1")
    served_stage.store.commit(served_stage.take("A-2"), DAY)
    root = f"callboard:{{{served_stage.namespace}}}:dedup:"
    assert keys_of(served_stage) == {f"{root}live:A-1", f"{root}done:A-2", f"{root}fence"}


def test_a_completion_leaves_one_value_that_ends_with_its_window(served_stage: ServerStage) -> None:
    claim = served_stage.take()
    served_stage.store.commit(claim, DAY)
    key = f"callboard:{{{served_stage.namespace}}}:dedup:done:A-1"
    assert served_stage.client.get(key) == b"%d:%s" % (claim.fence, BODY)
    assert DAY - 60_000 < int(str(served_stage.client.pttl(key))) <= DAY


def test_a_key_that_waits_is_kept_far_longer_than_the_longest_wait(served_stage: ServerStage) -> None:
    served_stage.store.release(served_stage.take())
    key = f"callboard:{{{served_stage.namespace}}}:dedup:live:A-1"
    assert int(str(served_stage.client.pttl(key))) > REMEMBERED_MS - 60_000 > 366 * DAY


def test_a_key_that_is_worked_on_stays_in_the_compact_form(served_stage: ServerStage) -> None:
    served_stage.take("A" * 255)
    key = f"callboard:{{{served_stage.namespace}}}:dedup:live:{'A' * 255}"
    assert served_stage.client.object("ENCODING", key) == b"listpack"


def test_namespaces_do_not_know_of_each_other(served_stage: ServerStage) -> None:
    served_stage.take()
    other = RedisDedupStore(served_stage.url, f"{served_stage.namespace}-other")
    assert other.claim("A-1", OTHER, owner="me", lease_ms=LONG).verdict is FRESH
    other.close()


def test_a_flushed_script_is_sent_again(served_stage: ServerStage) -> None:
    claim = served_stage.take()
    steps: list[Callable[[], bool]] = [
        lambda: served_stage.store.renew(claim),
        lambda: served_stage.store.commit(claim, DAY),
        lambda: served_stage.claim().verdict is DONE,
    ]
    for step in steps:
        served_stage.client.script_flush()
        assert step()


def test_a_connection_that_was_cut_while_it_was_idle_is_replaced(served_stage: ServerStage) -> None:
    claim = served_stage.take()
    served_stage.client.client_kill_filter(_type="normal", skipme=True)
    assert served_stage.store.renew(claim)


def test_a_script_is_known_to_the_server_after_its_first_call(served_stage: ServerStage) -> None:
    served_stage.take("A-1")
    with redis.Redis.from_url(served_stage.url) as client:
        before = client.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"]
        served_stage.take("A-2")
        after = client.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"]
    assert before == after
