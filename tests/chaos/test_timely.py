"""What began before its time, or was told a wrong age, is found; nothing else is."""

from tests.chaos.observed import Publish, Run
from tests.chaos.timely import judge_timely

ASKED = 100.0


def told(*, started: float, age: float, after: float = 0.0, of: str = "a") -> list[str]:
    """What is found of one run of what `a` published."""
    publish = Publish("a", "cause", "ok", ASKED, after)
    run = Run(of, "cause", "k", 1, 1, False, "worker0.1", started, started + 1, "done", age)
    return list(judge_timely([publish], [run]))


def test_what_began_in_its_time_and_was_told_its_age_is_in_order() -> None:
    assert told(started=ASKED + 0.8, age=0.8, after=0.8) == []
    assert told(started=ASKED + 70, age=70) == []


def test_what_began_before_its_time_is_found() -> None:
    assert told(started=ASKED + 0.7, age=0.7, after=0.8) == ["early: cause of a after 0.700 s, not 0.800"]


def test_an_age_that_is_an_hour_off_is_found() -> None:
    assert told(started=ASKED + 1, age=3601) == ["wrong age: cause of a was told 3601 s after 1 s"]
    assert told(started=ASKED + 1, age=-3599) == ["wrong age: cause of a was told -3599 s after 1 s"]


def test_a_follow_up_is_no_older_than_its_cause() -> None:
    assert told(started=ASKED + 2, age=1, of="a>") == []
    assert told(started=ASKED + 2, age=3601, of="a>") == ["wrong age: cause of a> was told 3601 s after 2 s"]
