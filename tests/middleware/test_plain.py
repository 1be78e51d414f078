"""The stack guards plain dramatiq actors on dramatiq's own brokers as on Callboard's, option by option."""

import asyncio
import time
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from structlog.testing import capture_logs

from callboard import CallboardBroker, Discard, DiscardEvent, RejectEvent, Retry, RetryLater, Stack, TimeIsUp
from callboard.messages.delivery import Outcome, OutcomeKind, Reason
from callboard.messages.errors import ConfigurationError, InvalidActor
from callboard.middleware.plain import PlainActor
from callboard.middleware.plain_answer import DeadLettered
from tests.middleware.conftest import Ground

AT_ONCE = Retry.every("10ms", max_attempts=3)


def test_our_retries_have_the_say_and_the_last_failure_is_dead(ground: Ground) -> None:
    attempts: list[int] = []

    @dramatiq.actor(broker=ground.broker, retry=AT_ONCE)
    def handler(number: int) -> None:
        attempts.append(number)
        raise ValueError("no")

    handler.send(7)
    ground.work_off()
    assert attempts == [7, 7, 7]
    assert ground.dead("default") == 1


def test_what_succeeds_at_last_is_done(ground: Ground) -> None:
    attempts: list[int] = []

    @dramatiq.actor(broker=ground.broker, retry=AT_ONCE)
    def handler() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("not yet")

    handler.send()
    ground.work_off()
    assert len(attempts) == 3
    assert ground.dead("default") == 0


def test_a_timeout_interrupts_and_leaves_the_retries_to_dramatiq_if_nothing_is_said(ground: Ground) -> None:
    interrupted: list[float] = []

    @dramatiq.actor(broker=ground.broker, timeout="50ms", max_retries=1, min_backoff=10, max_backoff=20)
    def handler() -> None:
        began = time.monotonic()
        try:
            while True:
                time.sleep(0.001)
        except TimeIsUp:
            interrupted.append(time.monotonic() - began)
            raise

    handler.send()
    ground.work_off()
    assert len(interrupted) == 2
    assert min(interrupted) >= 0.05
    assert ground.dead("default") == 1


def test_an_async_actor_is_interrupted_too(ground: Ground) -> None:
    ends: list[str] = []
    ground.broker.add_middleware(dramatiq.middleware.AsyncIO())

    @dramatiq.actor(broker=ground.broker, timeout="50ms", retry=Retry.never())
    async def handler() -> None:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    handler.send()
    ground.work_off()
    assert ends == ["cancelled"]
    assert ground.dead("default") == 1


def test_what_is_too_old_is_dropped_without_a_call(ground: Ground) -> None:
    called: list[str] = []

    @dramatiq.actor(broker=ground.broker, discard=Discard(max_age=0))
    def dropped() -> None:
        called.append("dropped")

    @dramatiq.actor(broker=ground.broker, discard=Discard(max_age=0, then="dead_letter"))
    def buried() -> None:
        called.append("buried")

    dropped.send()
    buried.send()
    with capture_logs() as logs:
        ground.work_off()
    assert called == []
    assert ground.dead("default") == 1
    assert {(line["event"], line.get("reason")) for line in logs if "reason" in line} == {
        ("discarded", "max_age"),
        ("dead", "max_age"),
    }


def test_a_predicate_is_asked_with_the_arguments(ground: Ground) -> None:
    called: list[tuple[str, int]] = []

    @dramatiq.actor(broker=ground.broker, discard=Discard(when=lambda name, *, count: count == 0))
    def handler(name: str, *, count: int) -> None:
        called.append((name, count))

    handler.send("a", count=0)
    handler.send("b", count=1)
    ground.work_off()
    assert called == [("b", 1)]


def test_signals_say_what_becomes_of_a_message(ground: Ground) -> None:
    called: list[str] = []

    @dramatiq.actor(broker=ground.broker, retry=AT_ONCE)
    def handler(kind: str) -> None:
        called.append(kind)
        if kind == "reject":
            raise RejectEvent("bad")
        if kind == "discard":
            raise DiscardEvent("old")
        if called.count("later") == 1:
            raise RetryLater(20)

    for kind in ("reject", "discard", "later"):
        handler.send(kind)
    ground.work_off()
    assert sorted(called) == ["discard", "later", "later", "reject"]
    assert ground.dead("default") == 1


def test_a_message_that_is_dead_without_an_error_says_why() -> None:
    assert str(DeadLettered(Outcome(OutcomeKind.DEAD, Reason.REJECTED, "bad"))) == "rejected: bad"


def test_dramatiqs_own_retry_exception_asks_for_its_delay(ground: Ground) -> None:
    starts: list[float] = []

    @dramatiq.actor(broker=ground.broker, retry=Retry.every("1h"))
    def handler() -> None:
        starts.append(time.monotonic())
        if len(starts) == 1:
            raise dramatiq.Retry("again", delay=100)

    handler.send()
    ground.work_off()
    assert len(starts) == 2
    assert starts[1] - starts[0] >= 0.1


def test_a_rate_limit_charges_no_attempt(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callboard.middleware.timeout.CONTENTION_MS", 10)
    calls: list[int] = []

    @dramatiq.actor(broker=ground.broker, retry=Retry.never())
    def handler() -> None:
        calls.append(1)
        if len(calls) < 4:
            raise dramatiq.RateLimitExceeded("busy")

    handler.send()
    ground.work_off()
    assert len(calls) == 4
    assert ground.dead("default") == 0


def test_the_last_failure_calls_who_waits_for_it(ground: Ground) -> None:
    told: list[tuple[str, Any]] = []

    @dramatiq.actor(broker=ground.broker)
    def exhausted(message: dict[str, Any], retries: dict[str, Any]) -> None:
        told.append((message["actor_name"], retries["retries"]))

    @dramatiq.actor(broker=ground.broker, retry=AT_ONCE, on_retry_exhausted="exhausted")
    def handler() -> None:
        raise ValueError("no")

    handler.send()
    ground.work_off()
    assert told == [("handler", 2)]


@pytest.mark.parametrize(
    "error", [ConnectionError("gone"), dramatiq.BrokerConnectionError("gone"), OSError(28)]
)
def test_a_retry_that_cannot_be_written_is_never_followed_by_an_acknowledgement(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    if isinstance(ground.broker, CallboardBroker):
        pytest.skip("there the retry is part of the settlement")
    starts: list[int] = []
    failures = [error] * 3
    enqueue = ground.broker.enqueue

    def fails_at_first(message: Any, *, delay: int | None = None) -> Any:
        if starts and failures:
            raise failures.pop()
        return enqueue(message, delay=delay)

    @dramatiq.actor(broker=ground.broker, retry=AT_ONCE)
    def handler() -> None:
        starts.append(1)
        if len(starts) == 1:
            raise ValueError("not yet")

    handler.send()
    monkeypatch.setattr(ground.broker, "enqueue", fails_at_first)
    ground.work_off()
    assert (len(starts), failures, ground.dead("default")) == (2, [], 0)


def test_a_result_goes_where_dramatiq_sends_it(ground: Ground) -> None:
    got: list[int] = []

    @dramatiq.actor(broker=ground.broker)
    def show(number: int) -> None:
        got.append(number)

    @dramatiq.actor(broker=ground.broker, timeout="5s")
    def double(number: int) -> int:
        return 2 * number

    then: Any = show  # it gets what comes out of the first
    dramatiq.pipeline([double.message(4), then.message()], broker=ground.broker).run()
    ground.work_off()
    assert got == [8]


def test_where_both_vocabularies_speak_ours_wins_and_says_so(ground: Ground) -> None:
    with capture_logs() as logs:

        @dramatiq.actor(broker=ground.broker, retry=AT_ONCE, max_retries=9, throws=ValueError, max_age=1)
        def handler() -> None: ...

    assert [(line["used"], line["not_used"]) for line in logs] == [("retry", ["max_retries", "throws"])]
    assert handler.options["max_age"] == 1


def test_an_actor_without_our_options_is_left_alone(ground: Ground) -> None:
    @dramatiq.actor(broker=ground.broker, max_retries=0)
    def handler() -> None: ...

    assert not isinstance(handler.fn, PlainActor)


def test_an_actor_that_is_called_directly_is_a_function(ground: Ground) -> None:
    outer: list[str] = []

    @dramatiq.actor(broker=ground.broker, retry=Retry.never())
    def inner(fail: bool) -> str:
        if fail:
            raise KeyError("plain")
        return "inner"

    @dramatiq.actor(broker=ground.broker, timeout="5s")
    def handler() -> None:
        outer.append(inner(fail=False))
        with pytest.raises(KeyError):
            inner(fail=True)

    handler.send()
    ground.work_off()
    assert outer == ["inner"]


def test_the_stack_may_speak_for_all_actors() -> None:
    broker = StubBroker()
    broker.add_middleware(Stack(timeout="1s", retry=AT_ONCE))

    @dramatiq.actor(broker=broker, timeout="2s")
    def handler() -> None: ...

    guarded = handler.fn
    assert isinstance(guarded, PlainActor)
    assert guarded.guarded.policy.timeout == 2
    assert guarded.guarded.policy.retry is AT_ONCE


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": "90s"}, "at most 60 s, but is 90 s"),
        ({"timeout": "soon"}, "cannot read 'soon' as timeout"),
        ({"retry": 5}, "retry must be made by Retry"),
        ({"discard": "old"}, "discard must be a Discard"),
    ],
)
def test_an_option_that_cannot_be_read_is_told_at_declaration(options: dict[str, Any], words: str) -> None:
    broker = StubBroker()
    broker.add_middleware(Stack())
    with pytest.raises(InvalidActor, match=words):

        @dramatiq.actor(broker=broker, **options)
        def handler() -> None: ...


def test_a_layer_of_ones_own_can_be_put_anywhere() -> None:
    def witness(_: Any) -> Any:
        return (yield)

    stack = Stack()
    stack.add(witness, before="discard")
    stack.add(witness, after="retry")
    stack.add(witness)
    names = [place.name for place in stack.order]
    assert names == ["witness", "metrics", "log", "decode", "witness", "discard", "dedup", "retry", "witness"]
    with pytest.raises(
        ConfigurationError, match="there is no layer 'dedupe': choose of witness, metrics, log"
    ):
        stack.add(witness, before="dedupe")


def test_a_layer_comes_before_the_actors() -> None:
    broker = StubBroker()
    stack = Stack(retry=AT_ONCE)
    broker.add_middleware(stack)

    @dramatiq.actor(broker=broker)
    def handler() -> None: ...

    with pytest.raises(ConfigurationError, match="before the first is declared"):
        stack.add(lambda _: (yield))  # type: ignore[arg-type]  # never run
