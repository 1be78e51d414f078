"""What may be said of an event's attempts when it is published is read, checked and carried, or refused."""

from datetime import timedelta
from typing import Any

import pytest

from callboard import Event
from callboard.messages.codec import decode_envelope, encode
from callboard.messages.errors import InvalidOption, PublishError, UnreadableBody
from callboard.messages.event_options import EventOptions, read_options

LONGEST = 60.0


class Ping(Event, name="ping"):
    number: int = 1


def test_what_is_said_is_read_as_lengths_of_time_elsewhere_are() -> None:
    said = read_options(
        {"timeout": "10s", "max_attempts": 3, "give_up_after": timedelta(days=1), "max_age": 60.0}, LONGEST
    )
    assert said == EventOptions(10_000, 3, 86_400_000, 60_000)


@pytest.mark.parametrize("given", [{}, {"timeout": None, "max_age": None}])
def test_nothing_said_is_nothing(given: Any) -> None:
    assert read_options(given, LONGEST) is None


def test_a_zero_is_a_value() -> None:
    assert read_options({"give_up_after": 0}, LONGEST) == EventOptions(give_up_after_ms=0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"timeout": 0}, "more than 0 and at most 60 s"),
        ({"timeout": "61s"}, "longest_timeout allows more"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": True}, "timeout cannot be True"),
        ({"timeout": float("nan")}, "timeout"),
        ({"max_attempts": 0}, "counts all starts"),
        ({"max_attempts": True}, "counts all starts"),
        ({"max_attempts": 2.5}, "counts all starts"),
        ({"give_up_after": -1}, "give_up_after cannot be negative"),
        ({"max_age": 0}, "nobody would handle the event"),
        ({"max_age": "5 parsecs"}, "max_age"),
    ],
)
def test_what_cannot_be_is_refused_with_its_mend(given: Any, told: str) -> None:
    with pytest.raises(InvalidOption, match=told) as refused:
        read_options(given, LONGEST)
    assert isinstance(refused.value, PublishError)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidOption, match=r"timeout .*; max_attempts .*; max_age"):
        read_options({"timeout": "2h", "max_attempts": 0, "max_age": 0}, LONGEST)


def test_an_unknown_word_is_told_with_the_known_ones() -> None:
    given: Any = {"retries": 3}
    with pytest.raises(TypeError, match=r"no `retries`.*timeout, max_attempts, give_up_after, max_age"):
        read_options(given, LONGEST)


def test_an_envelope_carries_what_was_said_and_nothing_where_nothing_was() -> None:
    said = EventOptions(max_attempts=3, max_age_ms=5)
    encoded = encode(Ping(), id="1", source="test", options=said)
    assert b'"options":{"max_attempts":3,"max_age_ms":5}' in encoded.body
    assert decode_envelope(encoded.body).options == said
    plain = encode(Ping(), id="1", source="test")
    assert b"options" not in plain.body
    assert decode_envelope(plain.body).options is None
    assert plain.fingerprint == encoded.fingerprint


@pytest.mark.parametrize(
    "options", [b'{"max_attempts":0}', b'{"timeout_ms":-1}', b'{"max_age_ms":"5h"}', b"7"]
)
def test_options_from_outside_that_cannot_be_are_unreadable(options: bytes) -> None:
    body = encode(Ping(), id="1", source="test", options=EventOptions(1)).body
    with pytest.raises(UnreadableBody, match="options"):
        decode_envelope(body.replace(b'{"timeout_ms":1}', options))
