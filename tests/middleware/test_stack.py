"""The stack runs its layers in order around a handler, and every exception becomes an outcome."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from callboard import DiscardEvent, RejectEvent, Retry, RetryLater
from callboard.messages.catalog import Catalog
from callboard.messages.delivery import LONGEST_ERROR, SUCCEEDED, History, Outcome, OutcomeKind, Reason
from callboard.messages.errors import ConfigurationError
from callboard.middleware.attempt import Attempt
from callboard.middleware.deadline import Watch
from callboard.middleware.guarded import Guarded, Handler
from callboard.middleware.layer import Afterwards, Layer, Place
from callboard.middleware.retry import retry
from callboard.middleware.stack import Stack, default_order
from tests.middleware.attempts import NOW, Layering, attempt, policy

WATCH = Watch()

Drive = Callable[[Sequence[Layer], Callable[[Attempt], Any], Attempt], Outcome]


def drive_plain(layers: Sequence[Layer], invoke: Callable[[Attempt], Any], made: Attempt) -> Outcome:
    return Guarded(Handler(invoke, policy(), is_async=False), layers, WATCH).perform(made)


def drive_async(layers: Sequence[Layer], invoke: Callable[[Attempt], Any], made: Attempt) -> Outcome:
    async def ainvoke(made: Attempt) -> Any:
        await asyncio.sleep(0)
        return invoke(made)

    return asyncio.run(Guarded(Handler(ainvoke, policy(), is_async=True), layers, WATCH).aperform(made))


@pytest.fixture(params=[drive_plain, drive_async])
def drive(request: pytest.FixtureRequest) -> Drive:
    """Runs a handler within layers, as `def` and as `async def`."""
    found: Drive = request.param
    return found


def told_by(told: list[str], name: str) -> Layer:
    """A layer that tells when it is passed."""

    def layer(made: Attempt) -> Layering:
        told.append(f"{name} in")
        outcome = yield
        told.append(f"{name} out: {outcome.kind}")
        return outcome

    return layer


def raising(error: BaseException) -> Callable[[Attempt], Any]:
    def invoke(made: Attempt) -> None:
        raise error

    return invoke


def test_the_order_of_the_layers_is_fixed() -> None:
    order = [place.name for place in default_order(Catalog())]
    assert order == ["metrics", "log", "decode", "discard", "dedup", "retry"]


def test_layers_are_entered_from_the_outside_and_left_from_the_inside(drive: Drive) -> None:
    told: list[str] = []
    layers = [told_by(told, "a"), told_by(told, "b")]
    assert drive(layers, lambda _: told.append("handler"), attempt()) == SUCCEEDED
    assert told == ["a in", "b in", "handler", "b out: succeeded", "a out: succeeded"]


def test_without_layers_the_handler_runs_alone(drive: Drive) -> None:
    ran: list[Attempt] = []
    made = attempt()
    assert drive([], ran.append, made) == SUCCEEDED
    assert ran == [made]


def test_a_layer_that_answers_by_itself_keeps_the_inner_ones_from_running(drive: Drive) -> None:
    told: list[str] = []
    answer = Outcome(OutcomeKind.DISCARDED, Reason.MAX_AGE)

    def answers(made: Attempt) -> Layering:
        if made.delivery.fence:
            return answer
        return (yield)

    def never(made: Attempt) -> None:
        raise AssertionError("the handler runs")

    assert drive([told_by(told, "a"), answers, told_by(told, "b")], never, attempt()) == answer
    assert told == ["a in", "a out: discarded"]


def test_a_layer_may_change_the_outcome_for_those_outside_of_it(drive: Drive) -> None:
    told: list[str] = []

    def changes(made: Attempt) -> Layering:
        yield
        return Outcome(OutcomeKind.DUPLICATE)

    layers = [told_by(told, "a"), changes, told_by(told, "b")]
    assert drive(layers, lambda _: None, attempt()).kind is OutcomeKind.DUPLICATE
    assert told[-2:] == ["b out: succeeded", "a out: duplicate"]


@pytest.mark.parametrize(("error", "begun"), [(None, False), (KeyError("x"), True)])
def test_a_layer_for_what_has_not_succeeded_is_begun_for_that_alone(
    drive: Drive, error: Exception | None, begun: bool
) -> None:
    told: list[str] = []

    def invoke(made: Attempt) -> None:
        if error is not None:
            raise error

    kind = drive([told_by(told, "a"), Afterwards(told_by(told, "late"))], invoke, attempt()).kind
    late = ["late in", f"late out: {kind}"] if begun else []
    assert told == ["a in", *late, f"a out: {kind}"]


def test_a_layer_for_what_has_not_succeeded_sees_what_an_inner_one_made_of_a_success(drive: Drive) -> None:
    told: list[str] = []

    def changes(made: Attempt) -> Layering:
        yield
        return Outcome(OutcomeKind.DUPLICATE)

    drive([Afterwards(told_by(told, "late")), changes], lambda _: None, attempt())
    assert told == ["late in", "late out: duplicate"]


def test_a_layer_that_yields_twice_is_an_error(drive: Drive) -> None:
    closed: list[str] = []

    def twice(made: Attempt) -> Layering:
        try:
            outcome = yield
            yield
            return outcome
        finally:
            closed.append("closed")

    outcome = drive([twice], lambda _: None, attempt())
    assert outcome.kind is OutcomeKind.RETRIED
    assert outcome.error is not None
    assert "a layer yields once" in outcome.error.message
    assert closed == ["closed"]


@pytest.mark.parametrize("answer", [None, True, "succeeded"])
def test_a_layer_that_returns_no_outcome_bypasses_nothing(drive: Drive, answer: object) -> None:
    def returns(made: Attempt) -> Layering:
        if made.delivery.fence:
            return answer  # type: ignore[return-value]  # the mistake
        return (yield)

    def forgets(made: Attempt) -> Layering:
        yield
        return answer  # type: ignore[return-value]  # the mistake

    for layer, starts in ((returns, 0), (forgets, 1)):
        ran: list[Attempt] = []
        outcome = drive([layer], ran.append, attempt())
        assert len(ran) == starts
        assert outcome.kind is OutcomeKind.RETRIED
        assert outcome.error is not None
        assert "a layer returns an Outcome" in outcome.error.message


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_layer_raises_is_a_failed_attempt(drive: Drive, error: BaseException) -> None:
    def faulty(made: Attempt) -> Layering:
        if made.delivery.fence:
            raise error
        return (yield)

    assert drive([faulty], lambda _: None, attempt()).kind is OutcomeKind.RETRIED


def test_what_is_no_generator_function_is_refused_as_a_layer() -> None:
    with pytest.raises(ConfigurationError, match="is no layer: a layer is a generator function"):
        Stack().add(lambda made: iter(()))  # type: ignore[arg-type,return-value]  # the mistake


def test_a_layer_that_fails_before_the_handler_keeps_it_from_running(drive: Drive) -> None:
    def faulty(made: Attempt) -> Layering:
        if made.delivery.fence:
            raise OSError("store unreachable")
        return (yield)

    ran: list[Attempt] = []
    told: list[str] = []
    outcome = drive([told_by(told, "outer"), faulty], ran.append, attempt())
    assert ran == []
    assert outcome.error is not None
    assert outcome.error.message == "store unreachable"
    assert told == ["outer in", "outer out: retried"]


def test_a_layer_that_fails_after_the_handler_fails_the_attempt(drive: Drive) -> None:
    def faulty(made: Attempt) -> Layering:
        yield
        raise OSError("no")

    told: list[str] = []
    assert drive([told_by(told, "outer"), faulty], lambda _: None, attempt()).kind is OutcomeKind.RETRIED
    assert told == ["outer in", "outer out: retried"]


def test_an_exception_of_the_handler_asks_for_a_retry_and_is_remembered(drive: Drive) -> None:
    made, error = attempt(), ValueError("no")
    outcome = drive([], raising(error), made)
    assert outcome.kind is OutcomeKind.RETRIED
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message, outcome.error.at) == ("ValueError", "no", NOW)
    assert made.exception is error


def test_a_long_message_is_cut(drive: Drive) -> None:
    outcome = drive([], raising(ValueError("x" * 10_000)), attempt())
    assert outcome.error is not None
    assert outcome.error.message == "x" * LONGEST_ERROR


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        (DiscardEvent("old"), Outcome(OutcomeKind.DISCARDED, Reason.REJECTED, "old")),
        (RejectEvent("bad"), Outcome(OutcomeKind.DEAD, Reason.REJECTED, "bad")),
    ],
)
def test_signals_that_end_a_delivery_are_outcomes_and_no_errors(
    drive: Drive, signal: Exception, expected: Outcome
) -> None:
    made = attempt()
    assert drive([], raising(signal), made) == expected
    assert made.exception is None


def test_a_signal_without_words_has_none() -> None:
    assert (DiscardEvent().detail, RejectEvent().detail) == ("", "")
    assert (RetryLater("1s", "busy").after, RetryLater("1s", "busy").detail) == ("1s", "busy")


def test_whatever_a_plain_handler_raises_is_its_outcome() -> None:
    for error in (KeyboardInterrupt(), SystemExit(1), GeneratorExit(), MemoryError(), StopIteration(3)):
        assert drive_plain([], raising(error), attempt()).kind is OutcomeKind.RETRIED


def test_being_cancelled_is_not_the_outcome_of_an_async_handler() -> None:
    async def cancelled() -> None:
        async def wait(made: Attempt) -> None:
            await asyncio.sleep(60)

        task = asyncio.create_task(
            Guarded(Handler(wait, policy(), is_async=True), [], WATCH).aperform(attempt())
        )
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


class Speechless(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_exception_that_cannot_be_shown_is_an_outcome_like_any_other(drive: Drive) -> None:
    outcome = drive([], raising(Speechless()), attempt())
    assert outcome.kind is OutcomeKind.RETRIED
    assert outcome.error is not None
    assert outcome.error.type == "Speechless"


def started(given: Attempt) -> Attempt:
    drive_plain([], lambda _: None, given)
    return given


def test_what_is_remembered_of_a_charged_attempt() -> None:
    first = drive_plain([], raising(ValueError("first")), attempt()).error
    second = drive_plain([], raising(KeyError("second")), attempt()).error
    assert started(attempt()).history(first) == History(1, 0, first, first)
    before = History(attempts=4, crashes=2, first_error=first, last_error=first)
    assert started(attempt(history=before)).history(second) == History(5, 2, first, second)
    assert started(attempt(history=before)).history(None) == History(5, 2, first, first)


def test_what_never_reached_the_handler_is_not_charged() -> None:
    assert attempt().history(None) == History(0)


def test_the_stack_wraps_event_handlers_and_leaves_plain_actors_alone() -> None:
    broker = StubBroker(middleware=[])
    broker.add_middleware(Stack([Place("retry", retry)]))

    @dramatiq.actor(broker=broker)
    def plain() -> None: ...

    assert not isinstance(plain.fn, Guarded)
    handler = Handler(lambda _: None, policy(Retry.never()), is_async=False)
    handler.__module__ = __name__
    actor: dramatiq.Actor[..., Any] = dramatiq.Actor(
        handler,  # type: ignore[arg-type]  # as an event actor hands it in
        broker=broker,
        actor_name="handler",
        queue_name="default",
        priority=0,
        options={},
    )
    wrapped: object = actor.fn
    assert isinstance(wrapped, Guarded)
    assert (wrapped.policy, wrapped.is_async) == (handler.policy, False)
