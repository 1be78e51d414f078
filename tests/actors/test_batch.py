"""What is declared of a batch handler is read when it is declared, and all that is wrong is told at once."""

from datetime import timedelta
from typing import Any

import pytest

from callboard import Batch, BatchContext, Callboard, Context
from callboard.actors.signature import read_signature
from callboard.messages.errors import InvalidActor
from tests.actors.rehearsal import OrderPlaced, OrderShipped


class Rows:
    """A resource."""


def test_a_batch_has_defaults_that_are_safe() -> None:
    batch = Batch()
    assert (batch.size, batch.wait_ms, batch.max_bytes) == (100, 100, 1_000_000)


@pytest.mark.parametrize(
    ("wait", "ms"), [("1s", 1000), (0, 0), (0.25, 250), (timedelta(seconds=2), 2000), ("1 minute", 60_000)]
)
def test_a_wait_is_read_as_durations_are(wait: Any, ms: int) -> None:
    assert Batch(wait=wait).wait_ms == ms


def test_all_that_is_wrong_with_a_batch_is_told_at_once() -> None:
    with pytest.raises(InvalidActor) as caught:
        Batch(size=0, wait="2 minutes", max_bytes=True)
    assert caught.value.faults == (
        "Batch: size must be a whole number from 1 to 10,000, but is 0",
        "Batch: max_bytes must be a whole number from 1, but is True",
        "Batch: wait must be a minute at most, for what is gathered is leased, but is '2 minutes'",
    )


@pytest.mark.parametrize(
    "said", [{"size": 10_001}, {"size": 1.5}, {"wait": "soon"}, {"wait": -1}, {"max_bytes": 0}]
)
def test_each_fault_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(InvalidActor):
        Batch(**said)


def test_a_list_in_the_annotation_makes_a_batch_handler() -> None:
    def load(events: list[OrderPlaced | OrderShipped], ctx: BatchContext, rows: Rows) -> None: ...

    wanted = read_signature(load)
    assert (wanted.batch, wanted.events) == (True, (OrderPlaced, OrderShipped))
    assert (wanted.context, wanted.resources) == (True, (Rows,))


def test_each_kind_of_handler_has_a_context_of_its_own() -> None:
    def load(events: list[OrderPlaced], ctx: Context) -> None: ...

    def handle(event: OrderPlaced, ctx: BatchContext) -> None: ...

    def late(events: list[OrderPlaced], rows: Rows, ctx: BatchContext) -> None: ...

    with pytest.raises(InvalidActor, match="a list of events has a BatchContext, not a Context: write"):
        read_signature(load)
    with pytest.raises(InvalidActor, match="one event has a Context, not a BatchContext: write"):
        read_signature(handle)
    with pytest.raises(
        InvalidActor, match=r"comes second, before resources: write `def handler\(events: list"
    ):
        read_signature(late)


def test_a_batch_without_a_list_is_refused(memory_app: Callboard) -> None:
    with pytest.raises(InvalidActor, match="annotate its first parameter as list"):

        @memory_app.actor(batch=Batch())
        def handle(event: OrderPlaced) -> None: ...


def test_what_is_no_batch_is_refused(memory_app: Callboard) -> None:
    with pytest.raises(InvalidActor, match=r"batch takes a Batch, as Batch\(size=100\), but is 100"):

        @memory_app.actor(batch=100)  # type: ignore[call-overload, untyped-decorator]  # what is tried here
        def load(events: list[OrderPlaced]) -> None: ...


def test_an_actor_tells_its_batch_no_larger_than_its_limit(memory_app: Callboard) -> None:
    @memory_app.actor
    def plain(events: list[OrderPlaced]) -> None: ...

    @memory_app.actor(batch=Batch(size=50, wait="1s"), concurrency=20)
    def limited(events: list[OrderPlaced]) -> None: ...

    @memory_app.actor
    def single(event: OrderPlaced) -> None: ...

    assert plain.batch == Batch()
    assert limited.batch == Batch(size=20, wait="1s")
    assert single.batch is None
