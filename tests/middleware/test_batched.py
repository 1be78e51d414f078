"""Each event of a batch has layers and an outcome of its own, told once, whatever handler and layers do."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from callboard import Dedup, Discard, MemoryDedupStore, RejectEvent, Retry
from callboard.messages.catalog import Catalog
from callboard.messages.codec import encode
from callboard.messages.delivery import Delivery, History, Outcome, OutcomeKind, Reason
from callboard.middleware.attempt import Attempt
from callboard.middleware.batch_run import Report
from callboard.middleware.batched import Batched
from callboard.middleware.deadline import Watch
from callboard.middleware.decode import Decode
from callboard.middleware.dedup.layer import Deduplicate
from callboard.middleware.dedup.store import Claim
from callboard.middleware.discard import discard
from callboard.middleware.guarded import Handler
from callboard.middleware.layer import Layer, Layering
from callboard.middleware.retry import retry
from tests.middleware.attempts import OrderPlaced, attempt, policy

WATCH = Watch()


def batch(*names: str, history: History | None = None, **options: Any) -> list[Attempt]:
    """Attempts at orders of these names."""
    options = {"retry": Retry.every("5s", max_attempts=2), **options}
    said = msgspec.structs.replace(policy(), **options)
    attempts = []
    for name in names:
        made = attempt(body=encode(OrderPlaced(name), id=name, source="test").body, history=history)
        delivery = made.delivery
        delivery.id = f"handler:{name}"
        attempts.append(Attempt(delivery, said))
    return attempts


def names_of(call: Attempt) -> str:
    return "".join(member.event.order_id for member in call.members)  # type: ignore[attr-defined]  # orders


def decode() -> Layer:
    catalog = Catalog()
    catalog.add(OrderPlaced)
    return Decode(catalog)


class Told:
    """What is told of each order, each only once."""

    def __init__(self, go_on: Callable[[], bool] = lambda: True) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.report = Report(self.tell, go_on)

    def tell(self, made: Attempt, outcome: Outcome) -> None:
        assert made.delivery.key not in self.outcomes
        self.outcomes[made.delivery.key] = outcome

    @property
    def kinds(self) -> dict[str, str]:
        return {key: outcome.kind.value for key, outcome in self.outcomes.items()}


def run(
    attempts: Sequence[Attempt],
    invoke: Callable[[Attempt], Any],
    layers: Sequence[Layer] = (),
    *,
    is_async: bool = False,
    told: Told | None = None,
) -> Told:
    """Run a batch; an async handler is made of the same function."""
    told = told or Told()

    async def ainvoke(call: Attempt) -> Any:
        await asyncio.sleep(0)
        return invoke(call)

    handler = Handler(ainvoke if is_async else invoke, attempts[0].policy, is_async=is_async, is_batch=True)
    batched = Batched(handler, [decode(), *layers, retry], WATCH)
    if is_async:
        asyncio.run(batched.aperform_all(attempts, told.report))
    else:
        batched.perform_all(attempts, told.report)
    assert set(told.outcomes) == {each.delivery.key for each in attempts}
    return told


both = pytest.mark.parametrize("is_async", [False, True])


@both
def test_each_event_has_layers_of_its_own_around_one_call(is_async: bool) -> None:
    seen: list[str] = []

    def witness(made: Attempt) -> Layering:
        seen.append(f"into {made.delivery.key}")
        outcome = yield
        seen.append(f"{made.delivery.key} {outcome.kind}")
        return outcome

    def invoke(call: Attempt) -> None:
        seen.append(f"call {names_of(call)}")

    run(batch("a", "b"), invoke, [witness], is_async=is_async)
    assert seen == ["into a", "into b", "call ab", "a succeeded", "b succeeded"]


@both
def test_what_a_layer_answers_for_drops_out_and_a_layer_that_fails_fails_for_its_event_alone(
    is_async: bool,
) -> None:
    calls: list[str] = []

    def picky(made: Attempt) -> Layering:
        if made.delivery.key == "b":
            return Outcome(OutcomeKind.DUPLICATE)
        if made.delivery.key == "c":
            raise LookupError("a fault of the layer")
        outcome = yield
        if made.delivery.key == "d":
            raise LookupError("another")
        return outcome

    told = run(batch(*"abcde"), lambda call: calls.append(names_of(call)), [picky], is_async=is_async)
    assert calls == ["ade"]
    assert told.kinds == {
        "a": "succeeded",
        "b": "duplicate",
        "c": "retried",
        "d": "retried",
        "e": "succeeded",
    }


@both
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), BaseException()])
def test_whatever_the_handler_raises_each_event_has_an_outcome(error: BaseException, is_async: bool) -> None:
    calls: list[str] = []

    def invoke(call: Attempt) -> None:
        calls.append(names_of(call))
        if "b" in calls[-1]:
            raise error

    told = run(batch(*"abcd"), invoke, is_async=is_async)
    assert told.kinds == {"a": "succeeded", "b": "retried", "c": "succeeded", "d": "succeeded"}
    assert calls == ["abcd", "ab", "a", "b", "cd"]


def test_the_retry_policy_decides_for_each_event_by_its_own_attempts() -> None:
    attempts = [*batch("new"), *batch("old", history=History(attempts=1))]

    def invoke(call: Attempt) -> None:
        raise ValueError("no")

    told = run(attempts, invoke)
    assert told.kinds == {"new": "retried", "old": "dead"}
    assert told.outcomes["old"].reason is Reason.MAX_ATTEMPTS


def test_what_is_spared_is_not_charged_and_its_error_is_kept() -> None:
    attempts = batch(*"abcdefghijklmnop", discard=(Discard(max_attempts=1),))

    def invoke(call: Attempt) -> None:
        raise ConnectionError("the database is down")

    told = run(attempts, invoke, [discard])
    charged = [each.delivery.key for each in attempts if each.history(None).attempts]
    assert charged == ["a", "b", "c"]
    assert {key for key, kind in told.kinds.items() if kind == "discarded"} == set(charged)
    spared = told.outcomes["p"]
    assert (spared.kind, spared.delay_ms) == (OutcomeKind.RETRIED, 5000)
    assert spared.error is not None
    assert spared.error.type == "ConnectionError"


def test_a_signal_of_the_handler_is_for_all_of_its_call() -> None:
    def invoke(call: Attempt) -> None:
        raise RejectEvent("none of them")

    told = run(batch(*"ab"), invoke)
    assert [(each.kind, each.detail) for each in told.outcomes.values()] == [
        (OutcomeKind.DEAD, "none of them")
    ] * 2


def test_what_another_worker_may_hold_by_now_is_not_run_again() -> None:
    attempts, calls = batch(*"abcd"), []

    def invoke(call: Attempt) -> None:
        calls.append(names_of(call))
        attempts[0].delivery.lost = True
        if len(calls) == 1:
            raise ValueError("halve it")

    told = run(attempts, invoke)
    assert calls == ["abcd", "b", "cd"]
    assert told.kinds == {"a": "released", "b": "succeeded", "c": "succeeded", "d": "succeeded"}


@both
def test_what_may_not_go_on_is_released(is_async: bool) -> None:
    goes_on = True

    def invoke(call: Attempt) -> None:
        nonlocal goes_on
        goes_on = False
        raise ValueError("halve it")

    told = run(batch(*"abc"), invoke, is_async=is_async, told=Told(lambda: goes_on))
    assert told.kinds == dict.fromkeys("abc", "released")


def test_what_was_published_in_a_call_that_failed_is_not_published() -> None:
    attempts = batch(*"ab")

    def invoke(call: Attempt) -> None:
        for member in call.members:
            assert member.published is None
            member.published = [names_of(call)]
        if len(call.members) > 1:
            raise ValueError("halve it")

    run(attempts, invoke)
    assert [each.published for each in attempts] == [["a"], ["b"]]


def test_one_attempt_can_be_run_as_a_batch_of_one() -> None:
    def fails(call: Attempt) -> None:
        raise ValueError("no")

    async def succeeds(call: Attempt) -> None: ...

    (made,) = batch("a")
    assert Batched(Handler(fails, made.policy, is_batch=True), [decode(), retry], WATCH).perform(
        made
    ).kind is (OutcomeKind.RETRIED)
    handler = Handler(succeeds, made.policy, is_async=True, is_batch=True)
    outcome = asyncio.run(Batched(handler, [decode(), retry], WATCH).aperform(*batch("a")))
    assert outcome.kind is OutcomeKind.SUCCEEDED


def test_of_a_cancelled_batch_what_has_no_outcome_is_released() -> None:
    told, seen = Told(), []

    def witness(made: Attempt) -> Layering:
        outcome = yield
        seen.append((made.delivery.key, outcome.kind.value))
        return outcome

    async def scene() -> None:
        attempts, started = batch(*"ab"), asyncio.Event()

        async def invoke(call: Attempt) -> None:
            started.set()
            await asyncio.Event().wait()

        handler = Handler(invoke, attempts[0].policy, is_async=True, is_batch=True)
        batched = Batched(handler, [decode(), witness, retry], WATCH)
        task = asyncio.ensure_future(batched.aperform_all(attempts, told.report))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert told.kinds == dict.fromkeys("ab", "released")
    assert seen == [("a", "released"), ("b", "released")]


class SlowStore(MemoryDedupStore):
    """Keeps the second claim waiting until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = 0
        self.asked, self.go = threading.Event(), threading.Event()

    def claim(
        self, key: str, fingerprint: bytes, *, owner: str, lease_ms: int, charged: bool = True
    ) -> Claim:
        self.claims += 1
        if self.claims == 2:
            self.asked.set()
            assert self.go.wait(10)
        return super().claim(key, fingerprint, owner=owner, lease_ms=lease_ms, charged=charged)


def test_a_batch_that_is_cancelled_while_its_layers_wait_lets_go_of_what_they_hold() -> None:
    told, store = Told(), SlowStore()

    async def scene() -> None:
        attempts = batch(*"ab", dedup=Dedup(store=store))

        async def invoke(call: Attempt) -> None:
            raise AssertionError("the handler ran")

        handler = Handler(invoke, attempts[0].policy, is_async=True, is_batch=True)
        batched = Batched(handler, [decode(), Deduplicate(), retry], WATCH)
        task = asyncio.ensure_future(batched.aperform_all(attempts, told.report))
        await asyncio.to_thread(store.asked.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        store.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert told.kinds == dict.fromkeys("ab", "released")
    delivery: Delivery = batch("a")[0].delivery
    for key in ("handler:a", "handler:b"):
        again = store.claim(key, delivery.fingerprint, owner="another", lease_ms=1000)
        assert (again.verdict.value, again.takeovers) == ("fresh", 0)
