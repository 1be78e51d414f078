"""Whoever judges rolling restarts must find what is made up here, and nothing in what is in order."""

from typing import Any

import msgspec

from callboard.actors.mailbox.infos import QueueInfo
from tests.chaos.checker import check
from tests.chaos.observed import Disturbance, Observed, Publish, Run
from tests.chaos.repeats import END_POOL
from tests.chaos.rolling.judge import judge_stops
from tests.chaos.rolling.pool import SUPERVISOR_SECONDS, Stop
from tests.chaos.rolling.side import LANES

MEMBER = "pool1.77"


def run(actor: str, token: str, **changed: Any) -> Run:
    """A start of a handler that did what it should."""
    facts: dict[str, Any] = {
        "key": f"key of {token}",
        "fence": 1,
        "attempt": 1,
        "alone": False,
        "member": MEMBER,
        "started": 10.0,
        "ended": 10.1,
        "result": "done",
    }
    return Run(token=token, actor=actor, **(facts | changed))


def stop(**changed: Any) -> Stop:
    facts: dict[str, Any] = {
        "how": "end",
        "pool": "pool1",
        "members": (MEMBER,),
        "told": 20.0,
        "ended": 22.0,
        "code": 0,
    }
    return Stop(**(facts | changed))


CUT = run("patient", "p-1", started=19.0, ended=21.0, result="cut")
AGAIN = run("patient", "p-1", fence=2, member="pool2.88", started=21.2, ended=26.2)
SOUND = Observed(
    publishes=(
        Publish("p-1", "patient", "ok"),
        Publish("p-2", "ordered", "ok"),
        Publish(f"p-{2 + LANES}", "ordered", "ok"),
    ),
    runs=(
        CUT,
        AGAIN,
        run("ordered", "p-2"),
        run("ordered", f"p-{2 + LANES}", started=10.1, ended=10.2),
    ),
    disturbances=(Disturbance(END_POOL, MEMBER, 20.0, 22.0),),
    queues=(
        QueueInfo("loop", accepted=1, succeeded=1, released=1),
        QueueInfo("ordered", accepted=2, succeeded=2),
    ),
)
"""A stop that cut one handler off, which was run again by another pool."""


def found(*stops: Stop, **changed: Any) -> list[str]:
    """What both who judge find, but for the counts of queues."""
    seen = msgspec.structs.replace(SOUND, **changed)
    return [*check(msgspec.structs.replace(seen, queues=())).violations, *judge_stops(seen, stops)]


def test_a_stop_that_cut_a_handler_off_breaks_no_promise() -> None:
    assert found(stop()) == []
    assert check(SOUND).violations == ()


def with_again(*others: Run, **changed: Any) -> list[str]:
    again = msgspec.structs.replace(AGAIN, **changed)
    return found(runs=(CUT, again, *SOUND.runs[2:], *others))


def test_a_handler_that_was_cut_off_and_charged_is_found() -> None:
    (told,) = with_again(attempt=2)
    assert told.startswith("charged for what it did not do: patient of p-1")


def test_what_was_given_back_before_it_began_and_charged_is_found() -> None:
    assert found(runs=(*SOUND.runs[:3], msgspec.structs.replace(SOUND.runs[3], attempt=2))) == [
        f"charged before it began: ordered of p-{2 + LANES} begins with attempt 2"
    ]


def test_a_handler_that_was_cut_off_and_never_run_again_is_lost() -> None:
    assert found(runs=(CUT, *SOUND.runs[2:])) == ["lost: patient of p-1"]


def test_a_handler_that_was_done_and_run_again_is_found_whatever_was_stopped() -> None:
    done = msgspec.structs.replace(CUT, result="done")
    (told,) = found(runs=(done, *SOUND.runs[1:]))
    assert told.startswith("started again without a reason: patient of p-1")


def test_a_handler_that_was_cut_off_where_nothing_was_stopped_is_found() -> None:
    (told,) = found(disturbances=(Disturbance(END_POOL, "pool3.99", 20.0, 22.0),))
    assert told.startswith("started again without a reason: patient of p-1")


def test_an_item_that_was_done_and_run_again_is_found() -> None:
    items = run("itemised/3", "p-1"), run("itemised/3", "p-1", fence=2, started=21.3, ended=21.4)
    (told,) = with_again(*items)
    assert told.startswith("started again without a reason: itemised/3 of p-1")


def test_a_lane_that_went_out_of_order_is_found() -> None:
    first, second = SOUND.runs[2:]
    early = msgspec.structs.replace(second, started=9.0, ended=9.1)
    both = msgspec.structs.replace(second, started=10.05)
    assert found(runs=(CUT, AGAIN, first, early)) == [f"out of order: p-2 after p-{2 + LANES}"]
    assert found(runs=(CUT, AGAIN, first, both)) == [f"out of order: p-{2 + LANES} after p-2"]


def test_what_was_left_behind_and_had_to_be_taken_over_is_found() -> None:
    assert found(queues=(QueueInfo("loop", takeovers=1),)) == [
        "left behind: loop has 1 takeovers and 0 fenced off"
    ]


def test_a_stop_that_takes_too_long_or_does_not_end_well_is_found() -> None:
    assert found(stop(ended=20.0 + SUPERVISOR_SECONDS, code=-9)) == [
        f"killed: pool1 has not ended {SUPERVISOR_SECONDS:.1f} s after it was told to (end)"
    ]
    assert found(stop(code=1)) == ["exit code 1: pool1 (end)"]
    assert found(stop(how="end worker", code=0)) == ["exit code 0: pool1 (end worker)"]
