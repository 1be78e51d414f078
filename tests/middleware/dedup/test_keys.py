"""The dedup key is the delivery's own, some fields', or what a callable makes; what is wrong is told."""

from typing import Any

import pytest

from callboard.messages.delivery import SUCCEEDED, OutcomeKind, Reason
from callboard.messages.errors import InvalidDuration, InvalidKey
from callboard.middleware.dedup.keys import key_of
from callboard.middleware.dedup.layer import Deduplicate
from callboard.middleware.dedup.memory import MemoryDedupStore
from callboard.middleware.dedup.option import Dedup, KeyOf
from tests.middleware.dedup.attempts import OrderPlaced, attempt, message, perform


@pytest.mark.parametrize(
    ("key", "made"),
    [
        (None, "e-1"),
        ("order_id", "A:7"),
        (["order_id", "line"], "A%3A7:2"),
        (lambda event: event.order_id.lower(), "a:7"),
    ],
)
def test_the_key_of_an_event(key: KeyOf | None, made: str) -> None:
    said = Dedup(key=key)
    assert key_of(attempt(said, OrderPlaced("A:7", 2)), said) == made


@pytest.mark.parametrize(
    ("key", "made"),
    [
        (None, "m-1"),
        ("order_id", "A:7"),
        (("order_id", "line"), "A%3A7:2"),
        (lambda *args, **kwargs: f"{args[0]}/{kwargs['line']}", "first/2"),
    ],
)
def test_the_key_of_a_plain_message(key: KeyOf | None, made: str) -> None:
    said = Dedup(key=key)
    assert key_of(message(said, "first", order_id="A:7", line=2), said) == made


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("customer", "has no field 'customer'"),
        (lambda _: "", "cannot be empty"),
        (lambda _: "x" * 256, "255 bytes at most"),
        (lambda event: event.line, "must be text"),
    ],
)
def test_a_key_that_cannot_be_made_ends_the_delivery_with_the_mend(key: KeyOf, words: str) -> None:
    outcome = perform(Deduplicate(), attempt(Dedup(key=key, store=MemoryDedupStore())))
    assert (outcome.kind, outcome.reason) == (OutcomeKind.DEAD, Reason.INVALID_BODY)
    assert words in (outcome.detail or "")


@pytest.mark.parametrize("given", [{}, {"order_id": None}, {"order_id": True}, {"order_id": [1]}])
def test_a_plain_message_without_such_an_argument_has_no_key(given: dict[str, object]) -> None:
    said = Dedup(key="order_id")
    with pytest.raises(InvalidKey, match="order_id"):
        key_of(message(said, "A", **given), said)


def test_an_exception_of_a_callable_is_a_failed_attempt() -> None:
    made = attempt(Dedup(key=lambda event: event.nothing, store=MemoryDedupStore()))
    assert perform(Deduplicate(), made).kind is OutcomeKind.RETRIED


def test_actors_do_not_share_keys() -> None:
    said = Dedup(key=lambda *_, **__: "same", store=MemoryDedupStore())
    layer = Deduplicate()
    assert perform(layer, attempt(said)) == SUCCEEDED
    assert perform(layer, message(said)) == SUCCEEDED


@pytest.mark.parametrize(
    "said", [{"window": 0}, {"lease": "0s"}, {"key": ""}, {"key": []}, {"key": 5}, {"key": ["a", 1]}]
)
def test_an_option_that_cannot_work_is_refused_when_it_is_made(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(said))):
        Dedup(**said)


@pytest.mark.parametrize("said", [{"window": "soon"}, {"lease": "-1s"}])
def test_a_length_that_cannot_be_read_is_refused_when_it_is_made(said: dict[str, Any]) -> None:
    with pytest.raises(InvalidDuration, match=next(iter(said))):
        Dedup(**said)
