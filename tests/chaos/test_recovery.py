"""A recovery that took too long is told, and only then."""

from tests.chaos.recovery import judge_recoveries


def test_a_recovery_that_took_longer_than_a_lease_and_two_seconds_is_told() -> None:
    told = list(judge_recoveries((0.4, 2.4, 2.5), 0.4))
    assert told == ["recovered late: after 2.50 s, with a lease of 0.4 s"]
