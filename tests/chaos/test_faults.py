"""The schedule of faults: the same for a seed, bounded, and in the long run complete."""

from typing import get_args

from tests.chaos.faults import GENTLE, POINTS, FaultKind, is_gentle, schedule
from tests.chaos.trouble import MAKERS, Timeline

SECONDS = 3.0
LEASE = 0.4


def test_a_seed_tells_the_whole_schedule() -> None:
    assert schedule(7, SECONDS, LEASE) == schedule(7, SECONDS, LEASE)
    assert schedule(7, SECONDS, LEASE) != schedule(8, SECONDS, LEASE)


def test_every_kind_of_fault_is_drawn_sooner_or_later() -> None:
    drawn = {fault.kind for seed in range(60) for fault in schedule(seed, SECONDS, LEASE)}
    assert drawn == set(get_args(FaultKind)) == set(MAKERS)


def test_faults_come_in_order_and_while_the_load_goes_on() -> None:
    for seed in range(60):
        moments = [fault.at for fault in schedule(seed, SECONDS, LEASE)]
        assert moments == sorted(moments)
        assert 0 < moments[0] <= moments[-1] <= SECONDS


def test_a_worker_is_stopped_for_longer_than_its_lease() -> None:
    stops = [
        fault for seed in range(60) for fault in schedule(seed, SECONDS, LEASE) if fault.kind == "stop worker"
    ]
    assert stops
    assert all(fault.seconds > LEASE for fault in stops)


def test_a_server_stands_still_for_less_and_for_more_than_anyone_waits_for_it() -> None:
    drawn = [fault for seed in range(60) for fault in schedule(seed, SECONDS, LEASE)]
    assert {fault.seconds for fault in drawn if fault.kind == "stop server for long"} == {6.0}
    assert all(fault.seconds < 1.5 for fault in drawn if fault.kind == "stop server")


def test_every_choice_of_a_fault_is_made_sooner_or_later() -> None:
    drawn = {(fault.kind, fault.point) for seed in range(200) for fault in schedule(seed, SECONDS, LEASE)}
    assert {(kind, point) for kind, points in POINTS.items() for point in points} <= drawn


def test_a_gentle_round_has_no_fault_that_explains_a_second_start() -> None:
    gentle = [seed for seed in range(40) if is_gentle(seed)]
    assert gentle
    assert {fault.kind for seed in gentle for fault in schedule(seed, SECONDS, LEASE)} <= set(GENTLE)


def test_what_is_due_is_done_in_order_of_time() -> None:
    timeline = Timeline()
    done: list[str] = []
    timeline.at(2.0, lambda: done.append("second"))
    timeline.at(1.0, lambda: done.append("first"))
    timeline.later(3600, lambda: done.append("much later"))
    timeline.do_due()
    assert done == ["first", "second"]
    assert timeline
