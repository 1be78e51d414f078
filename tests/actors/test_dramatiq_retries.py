"""dramatiq's options for retries mean the same on Callboard's broker as on dramatiq's own."""

import time
from typing import Any

import dramatiq
import pytest
from dramatiq.errors import RateLimitExceeded
from dramatiq.middleware import CurrentMessage

from tests.actors.houses import QUICK, House, Said, current, failing, keep_diary, work_off


def no_luck() -> ValueError:
    return ValueError("no luck")


def test_an_actor_is_tried_once_more_than_max_retries_and_then_dead(house: House) -> None:
    fails, calls = failing(house, no_luck, max_retries=2, **QUICK)
    fails.send("argument")
    work_off(house)
    assert len(calls) == 3
    (dead,) = house.dead()
    assert (dead["actor_name"], dead["args"]) == ("failing", ["argument"])


def test_without_retries_the_first_failure_is_the_last(house: House) -> None:
    fails, calls = failing(house, no_luck, max_retries=0)
    fails.send()
    work_off(house)
    assert (len(calls), len(house.dead())) == (1, 1)


def test_options_of_a_message_go_before_those_of_its_actor(house: House) -> None:
    diary = keep_diary(house)
    fails, calls = failing(house, no_luck, max_retries=9, min_backoff=60_000, max_backoff=90_000)
    fails.send_with_options(max_retries=1, min_backoff=4, max_backoff=8)
    work_off(house)
    assert len(calls) == 2
    assert 4 <= diary.delays[0] <= 8


def test_the_next_attempt_knows_of_those_before_it(house: House) -> None:
    diary = keep_diary(house)
    fails, _ = failing(house, no_luck, max_retries=2, **QUICK)
    sent_at = int(time.time() * 1000)
    fails.send_with_options(own="kept")
    work_off(house)
    assert [options.get("retries", 0) for options in diary.options] == [0, 1, 2]
    assert [options["own"] for options in diary.options] == 3 * ["kept"]
    assert all("no luck" in options["traceback"] for options in diary.options[1:])
    requeued = [options["requeue_timestamp"] for options in diary.options[1:]]
    assert requeued == sorted(requeued)
    assert requeued[0] >= sent_at
    assert all("eta" not in options for options in diary.options)


def test_the_next_attempt_has_the_identity_of_the_first(house: House) -> None:
    house.broker.add_middleware(CurrentMessage())
    seen: list[tuple[str, int]] = []

    @dramatiq.actor(broker=house.broker, max_retries=2, **QUICK)
    def fails() -> None:
        message = current()
        seen.append((message["message_id"], message["message_timestamp"]))
        raise no_luck()

    sent = fails.send()
    work_off(house)
    assert seen == 3 * [(sent.message_id, sent.message_timestamp)]


def test_what_an_actor_did_to_its_arguments_goes_along_to_the_next_attempt(house: House) -> None:
    seen: list[list[int]] = []

    @dramatiq.actor(broker=house.broker, max_retries=2, **QUICK)
    def fails(numbers: list[int]) -> None:
        seen.append(list(numbers))
        numbers.append(len(numbers))
        raise no_luck()

    fails.send([])
    work_off(house)
    assert seen == [[], [0], [0, 1]]


def test_backoff_doubles_and_is_kept_between_its_bounds(house: House) -> None:
    diary = keep_diary(house)
    fails, _ = failing(house, no_luck, max_retries=4, min_backoff=20, max_backoff=60)
    fails.send()
    work_off(house)
    bounds = [(20, 40), (30, 60), (30, 60), (30, 60)]
    assert all(least <= delay <= most for delay, (least, most) in zip(diary.delays, bounds, strict=True))
    # Clocks of servers and of this process are read in whole milliseconds.
    assert all(gap > delay - 2 for gap, delay in zip(diary.gaps, diary.delays, strict=True))


def test_retry_when_has_the_say_over_max_retries(house: House) -> None:
    asked: list[tuple[int, str]] = []

    def only_twice(retries: int, error: BaseException) -> bool:
        asked.append((retries, str(error)))
        return retries < 2

    fails, calls = failing(house, no_luck, max_retries=50, retry_when=only_twice, **QUICK)
    fails.send()
    work_off(house)
    assert len(calls) == 3
    assert asked == [(0, "no luck"), (1, "no luck"), (2, "no luck")]
    assert len(house.dead()) == 1


@pytest.mark.parametrize("throws", [KeyError, (OSError, KeyError), LookupError])
def test_an_exception_that_is_expected_is_not_tried_again(house: House, throws: Any) -> None:
    fails, calls = failing(house, lambda: KeyError("expected"), throws=throws)
    fails.send()
    work_off(house)
    assert (len(calls), len(house.dead())) == (1, 1)


def test_an_exception_that_is_not_expected_is_tried_again(house: House) -> None:
    fails, calls = failing(house, no_luck, throws=KeyError, max_retries=1, **QUICK)
    fails.send()
    work_off(house)
    assert (len(calls), len(house.dead())) == (2, 1)


def test_retry_says_when_to_come_back(house: House) -> None:
    diary = keep_diary(house)
    fails, calls = failing(house, lambda: dramatiq.Retry(delay=30), max_retries=2, min_backoff=60_000)
    fails.send()
    work_off(house)
    assert diary.delays == [30, 30]
    assert all(gap > 28 for gap in diary.gaps)
    assert (len(calls), len(house.dead())) == (3, 1)


def test_retry_without_a_delay_is_an_exception_like_others(house: House) -> None:
    diary = keep_diary(house)
    fails, calls = failing(house, dramatiq.Retry, max_retries=1, min_backoff=3, max_backoff=6)
    fails.send()
    work_off(house)
    assert 3 <= diary.delays[0] <= 6
    assert (len(calls), len(house.dead())) == (2, 1)


def test_a_rate_limit_that_is_exceeded_is_tried_again(house: House) -> None:
    fails, calls = failing(house, lambda: RateLimitExceeded("full"), max_retries=1, **QUICK)
    fails.send()
    work_off(house)
    assert (len(calls), len(house.dead())) == (2, 1)


def test_when_retries_are_exhausted_an_actor_is_told(house: House) -> None:
    told: list[tuple[Said, Said]] = []

    @dramatiq.actor(broker=house.broker)
    def exhausted(message: Said, retries: Said) -> None:
        told.append((message, retries))

    fails, calls = failing(house, no_luck, max_retries=1, on_retry_exhausted="exhausted", **QUICK)
    sent = fails.send("argument")
    work_off(house)
    ((message, retries),) = told
    assert len(calls) == 2
    assert (message["message_id"], message["args"]) == (sent.message_id, ["argument"])
    assert message["options"]["retries"] == 2
    assert retries == {"retries": 1, "max_retries": 1}


def test_an_actor_that_recovers_is_done(house: House) -> None:
    calls: list[int] = []

    @dramatiq.actor(broker=house.broker, max_retries=5, **QUICK)
    def recovers() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise no_luck()

    recovers.send()
    work_off(house)
    assert (len(calls), house.dead()) == (3, [])


def test_a_broker_without_the_retries_middleware_has_done_what_failed(house: House) -> None:
    house.broker.middleware = [
        each for each in house.broker.middleware if not isinstance(each, dramatiq.middleware.Retries)
    ]
    house.broker.actor_options.clear()
    fails, calls = failing(house, no_luck)
    fails.send()
    work_off(house)
    assert (len(calls), house.dead()) == (1, [])
