"""The checker must find what is made up here, and nothing in what is in order."""

from typing import Any, Literal

import msgspec
import pytest

from callboard.actors.mailbox.infos import QueueInfo
from tests.chaos.checker import Verdict, check, summary_of
from tests.chaos.faults import GENTLE, FaultKind
from tests.chaos.load import QUEUES
from tests.chaos.observed import Disturbance, Observed, Publish, Record, Run
from tests.chaos.repeats import COSTS_A_LEASE, judge_repeats


def run(actor: str, token: str, **changed: Any) -> Run:
    """A start of a handler that did what it should; the key is the token's unless said otherwise."""
    facts: dict[str, Any] = {
        "key": f"key of {token}",
        "fence": 1,
        "attempt": 1,
        "alone": False,
        "member": "worker0.1",
        "started": 10.0,
        "ended": 10.1,
        "result": "done",
    }
    return Run(token=token, actor=actor, **(facts | changed))


def fault(kind: FaultKind | Literal["stall"], start: float, end: float, member: str | None) -> Disturbance:
    return Disturbance(kind, member, start, end)


SOUND = Observed(
    publishes=(
        Publish("a", "quick", "ok"),
        Publish("b", "cause", "ok"),
        Publish("c", "doomed", "ok"),
        Publish("d", "flaky", "ok"),
    ),
    runs=(
        run("quick", "a"),
        run("echo", "a"),
        run("cause", "b"),
        run("follow", "b>"),
        run("doomed", "c", result="failed"),
        run("flaky", "d", result="failed"),
        run("flaky", "d", fence=2, attempt=2, started=10.5, ended=10.6),
    ),
    records=(Record("c", "doomed", "key of c", "dead", "rejected"),),
    queues=(
        QueueInfo("chain", accepted=2, succeeded=2),
        QueueInfo("echo", accepted=1, succeeded=1),
        QueueInfo("end", accepted=1, dead=1),
        QueueInfo("fast", accepted=1, succeeded=1),
        QueueInfo("slow", accepted=1, succeeded=1, retried=1),
    ),
)
"""A round in which all went as it should."""


def with_changes(**changed: Any) -> Observed:
    """The sound round, but for something; queues are not counted, for they would differ as well."""
    return msgspec.structs.replace(SOUND, **({"queues": ()} | changed))


def without(actor: str) -> tuple[Run, ...]:
    return tuple(each for each in SOUND.runs if each.actor != actor)


def violations(**changed: Any) -> tuple[str, ...]:
    return check(with_changes(**changed)).violations


def test_a_round_in_which_all_went_well_breaks_no_promise() -> None:
    verdict = check(SOUND)
    assert verdict.violations == ()
    assert (verdict.published, verdict.accepted, verdict.completed, verdict.dead) == (4, 6, 5, 1)
    assert (verdict.lost, verdict.stuck, verdict.repeats.explained, verdict.repeats.unexplained) == (
        0,
        0,
        0,
        0,
    )


def test_an_accepted_delivery_that_nothing_was_seen_of_is_lost() -> None:
    verdict = check(with_changes(runs=without("echo")))
    assert verdict.lost == 1
    assert verdict.violations == ("lost: echo of a",)


def test_a_delivery_that_was_started_and_never_done_is_lost() -> None:
    started = (*without("quick"), run("quick", "a", result="open", ended=None))
    assert violations(runs=started) == ("lost: quick of a",)


def test_a_retry_that_never_came_is_a_loss() -> None:
    failed_once = (*without("flaky"), run("flaky", "d", result="failed"))
    assert violations(runs=failed_once) == ("lost: flaky of d",)


def test_what_the_mailbox_still_holds_at_rest_is_stuck_and_not_lost() -> None:
    held = Record("a", "echo", "key of a", "held")
    verdict = check(with_changes(runs=without("echo"), records=(*SOUND.records, held)))
    assert (verdict.lost, verdict.stuck) == (0, 1)
    assert verdict.violations == ("stuck: echo of a",)


def doubled(*faults: Disturbance, **second: Any) -> Verdict:
    """The verdict on a round whose quick handler was done by one worker, and again by another."""
    again = {"fence": 2, "member": "worker1.1", "started": 11.0, "ended": 11.1} | second
    return check(with_changes(runs=(*SOUND.runs, run("quick", "a", **again)), disturbances=faults))


def test_a_handler_done_twice_without_a_fault_is_a_violation() -> None:
    verdict = doubled()
    assert (verdict.repeats.explained, verdict.repeats.unexplained) == (0, 1)
    assert "started again without a reason: quick of a" in verdict.violations[0]


@pytest.mark.parametrize("kind", sorted(COSTS_A_LEASE))
def test_a_fault_that_cost_the_worker_its_lease_explains_a_handler_done_twice(kind: FaultKind) -> None:
    verdict = doubled(fault(kind, 10.2, 10.3, "worker0.1"))
    assert (verdict.repeats.explained, verdict.repeats.unexplained) == (1, 0)
    assert verdict.violations == ()


@pytest.mark.parametrize("kind", GENTLE)
def test_a_fault_that_costs_no_lease_explains_nothing(kind: FaultKind) -> None:
    assert doubled(fault(kind, 10.2, 10.3, "worker0.1")).repeats.unexplained == 1


@pytest.mark.parametrize(("start", "end"), [(5.0, 6.0), (11.2, 12.0)])
def test_a_fault_at_another_time_explains_nothing(start: float, end: float) -> None:
    assert doubled(fault("kill worker", start, end, "worker0.1")).repeats.unexplained == 1


def test_a_fault_of_another_worker_explains_nothing() -> None:
    assert doubled(fault("kill worker", 10.2, 10.3, "worker1.1")).repeats.unexplained == 1


def test_a_fault_of_the_server_explains_for_every_worker() -> None:
    assert doubled(fault("kill server", 10.2, 10.3, None)).violations == ()


def test_the_time_from_a_kill_to_the_next_start_is_a_recovery() -> None:
    verdict = doubled(fault("kill worker", 10.2, 10.2, "worker0.1"))
    assert list(verdict.repeats.recoveries) == pytest.approx([0.8])
    assert verdict.repeats.disturbed == verdict.repeats.in_turn == ()


def test_a_recovery_while_the_server_was_away_is_counted_apart() -> None:
    verdict = doubled(fault("kill worker", 10.2, 10.2, "worker0.1"), fault("stop server", 10.3, 10.9, None))
    assert verdict.repeats.recoveries == ()
    assert list(verdict.repeats.disturbed) == pytest.approx([0.8])


def test_a_recovery_of_what_had_to_run_alone_is_counted_apart() -> None:
    first = run("quick", "a", result="open", ended=None, member="worker0.1")
    again = run("quick", "a", fence=2, alone=True, member="worker1.1", started=11.0)
    killed = (fault("kill worker", 10.2, 10.2, "worker0.1"),)
    repeats, told = judge_repeats((first, again), killed)
    assert (repeats.recoveries, told) == ((), [])
    assert list(repeats.in_turn) == pytest.approx([0.8])


def test_two_starts_on_one_lease_are_a_violation_whatever_happened() -> None:
    verdict = doubled(fault("kill server", 10.2, 10.3, None), fence=1)
    assert verdict.violations == ("one lease started twice: quick of a fence 1",)


def test_an_attempt_charged_for_a_start_that_was_taken_over_is_a_violation() -> None:
    verdict = doubled(fault("kill worker", 10.2, 10.2, "worker0.1"), attempt=2)
    assert "charged for what it did not do: quick of a" in verdict.violations[0]


def test_an_attempt_charged_for_a_crash_alone_is_in_order() -> None:
    alone = run("quick", "a", alone=True, result="open", ended=None, member="worker7.1")
    again = run("quick", "a", fence=2, attempt=2, alone=True, member="worker1.1", started=11.0)
    killed = (fault("kill worker", 10.2, 10.2, "worker7.1"),)
    assert violations(runs=(*without("quick"), alone, again), disturbances=killed) == ()


def test_a_retry_may_be_charged_for_workers_that_were_lost_with_it_alone() -> None:
    failed = run("quick", "a", result="failed", started=10.0, ended=10.1)
    again = run("quick", "a", fence=2, attempt=3, alone=True, member="worker1.1", started=11.0)
    kills = [fault("kill worker", at, at, "worker7.1") for at in (10.2, 10.6)]
    runs = (*without("quick"), failed, again)
    assert violations(runs=runs, disturbances=tuple(kills)) == ()
    assert "without a reason" in violations(runs=runs, disturbances=tuple(kills[:1]))[0]


def test_a_charge_may_come_of_a_second_kill_that_nothing_was_seen_of() -> None:
    killed = (fault("kill worker", 10.2, 10.2, "worker0.1"), fault("trap", 10.7, 10.7, "worker2.1"))
    assert doubled(*killed, attempt=2).violations == ()


@pytest.mark.parametrize(("started", "ended"), [(9.9, 10.05), (10.05, 10.06), (10.05, 10.2), (9.9, None)])
def test_what_is_run_alone_may_not_share_its_process(started: float, ended: float | None) -> None:
    alone = run("quick", "a", alone=True, member="worker7.1")
    other = run("echo", "a", started=started, ended=ended, member="worker7.1")
    others = tuple(each for each in SOUND.runs if each.actor not in {"quick", "echo"})
    found = violations(runs=(*others, alone, other))
    assert "not alone: quick of a ran with echo of a in worker7.1 (fences 1 and 1)" in found


def test_what_runs_before_and_after_it_or_elsewhere_leaves_it_alone() -> None:
    elsewhere = [msgspec.structs.replace(each, member="worker9.1") for each in without("quick")]
    around = (run("slow", "e", started=9.8, ended=10.0), run("slow", "f", started=10.1, ended=10.2))
    asked = (*SOUND.publishes, Publish("e", "slow", "ok"), Publish("f", "slow", "ok"))
    alone = run("quick", "a", alone=True)
    assert violations(publishes=asked, runs=(*elsewhere, *around, alone)) == ()


def test_an_event_that_reached_some_of_its_actors_is_torn() -> None:
    asked = (Publish("a", "quick", "unknown"), *SOUND.publishes[1:])
    verdict = check(with_changes(publishes=asked, runs=without("echo")))
    assert verdict.violations == ("torn: a reached 1 of 2 actors",)
    assert verdict.lost == 0


def test_a_publish_that_nobody_knows_of_may_have_reached_all_or_none() -> None:
    asked = (Publish("a", "quick", "unknown"), *SOUND.publishes[1:])
    assert violations(publishes=asked) == ()
    neither = tuple(each for each in SOUND.runs if each.actor not in {"quick", "echo"})
    assert violations(publishes=asked, runs=neither) == ()


def test_what_was_refused_may_not_be_delivered() -> None:
    asked = (Publish("a", "quick", "fail"), *SOUND.publishes[1:])
    assert "refused, but delivered: a" in violations(publishes=asked)


def test_one_publish_may_not_become_two_deliveries() -> None:
    twice = (*SOUND.runs, run("quick", "a", key="another key"))
    assert violations(runs=twice) == ("published once, delivered as two: quick of a",)


def test_a_completed_cause_without_its_follow_up_is_a_loss() -> None:
    assert violations(runs=without("follow")) == ("lost: follow of b>",)


def test_a_cause_may_not_have_two_follow_ups() -> None:
    twice = (*SOUND.runs, run("follow", "b>", key="another key"))
    assert violations(runs=twice) == ("2 follow-ups of one cause: b",)


def test_a_cause_that_ended_dead_may_not_have_a_follow_up() -> None:
    followed = (*SOUND.runs, run("follow", "c>"))
    assert violations(runs=followed) == ("a follow-up of a cause that did not complete: c",)


def test_a_delivery_must_end_as_its_handler_decided() -> None:
    rejected = Record("a", "quick", "key of a", "dead", "rejected")
    found = violations(records=(*SOUND.records, rejected))
    assert found == ("dead instead of completed: quick of a {'rejected'}",)


def test_a_delivery_may_not_end_twice() -> None:
    assert violations(records=(*SOUND.records, SOUND.records[0])) == ("ended 2 times: doomed of c",)


def test_poison_is_an_end_that_kills_may_bring_about() -> None:
    assert violations(records=(*SOUND.records, Record("a", "quick", "key of a", "dead", "poison"))) == ()


def test_what_nobody_published_may_not_be_delivered() -> None:
    stranger = (*SOUND.runs, run("quick", "z"))
    assert violations(runs=stranger) == ("never published: quick of z",)


def with_queue(queue: QueueInfo) -> Observed:
    others = tuple(each for each in SOUND.queues if each.queue != queue.queue)
    return msgspec.structs.replace(SOUND, queues=(*others, queue))


def test_a_queue_must_add_up() -> None:
    queue = QueueInfo(QUEUES["quick"], accepted=2, succeeded=1)
    assert "fast does not add up" in check(with_queue(queue)).violations[0]


def test_a_queue_may_not_count_a_success_that_nobody_saw() -> None:
    queue = QueueInfo(QUEUES["quick"], accepted=2, succeeded=2)
    assert check(with_queue(queue)).violations == ("fast counts 2 succeeded, but 1 were seen",)


def test_a_queue_may_not_forget_a_dead_delivery() -> None:
    queue = QueueInfo(QUEUES["doomed"])
    assert "end counts 0 dead, but 1 were seen" in check(with_queue(queue)).violations


def test_a_moment_at_which_counts_did_not_add_up_is_a_violation() -> None:
    assert violations(uneven=("fast: 3 accepted, but 2 there",)) == ("fast: 3 accepted, but 2 there",)


def test_a_summary_tells_a_few_of_each_kind() -> None:
    lines = summary_of([*(f"lost: {number}" for number in range(9)), "stuck: one"])
    assert lines == [*(f"lost: {number}" for number in range(5)), "(+4 more of: lost)", "stuck: one"]
