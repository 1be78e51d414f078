"""Bytes go out only if they can come back, and whatever comes in is read or refused without showing it."""

import json
import math
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.messages.codec import (
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    check_depth,
    decode_envelope,
    encode,
)
from callboard.messages.depth import is_too_deep
from callboard.messages.errors import (
    InvalidAttributes,
    InvalidEvent,
    InvalidKey,
    PayloadTooLarge,
    PublishError,
    UnreadableBody,
)
from callboard.messages.event import Event

HEAD = b'{"specversion":"1.0","id":"e","source":"s","type":"t","time":"2026-01-31T09:00:00Z"'


class Noted(Event, name="noted", key="id"):
    id: str = "n-1"
    text: str = ""
    count: int = 0
    ratio: float = 0.0
    maybe: float | None = None
    anything: Any = None
    tags: frozenset[str] = frozenset()
    numbers: dict[str, int] = msgspec.field(default_factory=dict)


class Plain(Event, name="plain"):
    text: str | None = None


class Even(Event, name="even"):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


def send(event: Any, **metadata: Any) -> bytes:
    return encode(event, id="e-1", source="shop", **metadata).body


def test_the_fingerprint_tells_fields_from_others_and_nothing_else() -> None:
    first = encode(Noted(text="a"), id="1", source="s", attributes={"a": "b"})
    again = encode(Noted(text="a"), id="2", source="t", time=datetime(2026, 1, 1, tzinfo=UTC))
    other = encode(Noted(text="b"), id="1", source="s")
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert len(first.fingerprint) == 16
    assert int(first.fingerprint, 16) >= 0


def test_equal_events_have_equal_fingerprints_in_every_process() -> None:
    program = (
        "from callboard.messages.codec import encode\n"
        "from callboard.messages.event import Event\n"
        "class Noted(Event, name='noted'):\n    tags: frozenset[str]\n    numbers: dict[str, int]\n"
        "event = Noted(frozenset(map(str, range(50))), {str(n): n for n in ORDER})\n"
        "print(encode(event, id='e', source='s').fingerprint.decode())"
    )
    fingerprints = {
        subprocess.run(
            [sys.executable, "-c", program.replace("ORDER", order)],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed, order in [("1", "range(9)"), ("2", "range(8, -1, -1)")]
    }
    assert len(fingerprints) == 1


def test_an_event_of_the_largest_size_is_encoded() -> None:
    at = datetime(2026, 1, 31, 9, 0, 0, 1, tzinfo=UTC)
    room = MAX_EVENT_BYTES - len(send(Plain(""), time=at))
    assert len(send(Plain("x" * room), time=at)) == MAX_EVENT_BYTES
    with pytest.raises(PayloadTooLarge, match=r"plain: the event has 262145 bytes .* 1 more than the limit"):
        send(Plain("x" * (room + 1)), time=at)


def test_metadata_counts_towards_the_size() -> None:
    text = "x" * (MAX_EVENT_BYTES - 500)
    assert send(Plain(text))
    with pytest.raises(PayloadTooLarge, match=r"\d+ more than the limit of 262144"):
        send(Plain(text), attributes={"a": "y" * 1000})


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (Noted(ratio=math.nan), r"`\$\.ratio` holds NaN or infinity"),
        (Noted(maybe=math.inf), r"`\$\.maybe` holds NaN or infinity"),
        (Noted(anything={"SECRET": [1, {"b": -math.inf}]}), r"`\$\.anything` holds NaN or infinity"),
        (Noted(text=7), r"Expected `str`, got `int` at `\$\.text`"),  # type: ignore[arg-type]
        (Noted(count="SECRET"), r"Expected `int`, got `str` at `\$\.count`"),  # type: ignore[arg-type]
        (Noted(numbers={"SECRET": "SECRET"}), r"Expected `int`, got `str` at `\$\.numbers\[...\]`"),  # type: ignore[dict-item]
        (Noted(text="\ud800SECRET"), "not valid UTF-8"),
        (Noted(count=10**5000), "a value is not allowed"),
        (Noted(anything=object()), "Encoding objects of type object is unsupported"),
        (Noted(anything={(1, 2): 3}), "Only dicts with str-like"),
        (Noted(anything=CYCLE), "nested too deep"),
        (Noted(anything=nested(MAX_DEPTH - 1)), "nested deeper than 127 levels"),
    ],
)
def test_an_event_that_could_not_be_read_again_is_not_published(event: Event, fault: str) -> None:
    with pytest.raises(InvalidEvent, match=f"noted v1: .*{fault}") as raised:
        send(event)
    assert isinstance(raised.value, PublishError)
    assert "SECRET" not in "".join(traceback.format_exception(raised.value))


def test_a_check_of_the_contract_itself_is_told_without_its_words() -> None:
    odd = Even(2)
    msgspec.structs.force_setattr(odd, "number", 77)
    with pytest.raises(
        InvalidEvent, match=r"even v1: the contract's own check refused it \(ValueError\)"
    ) as raised:
        send(odd)
    assert "77" not in "".join(traceback.format_exception(raised.value))


def test_an_event_of_the_greatest_depth_can_be_read() -> None:
    assert decode_envelope(send(Noted(anything=nested(MAX_DEPTH - 2)))).type == "noted"


def test_keys_that_are_not_text_become_text_in_order() -> None:
    first = encode(Noted(anything={10: {"b", "a"}, 9: 1.5}), id="e", source="s")
    again = encode(Noted(anything={9: 1.5, 10: {"a", "b"}}), id="e", source="s")
    assert b'"anything":{"10":["a","b"],"9":1.5}' in first.body
    assert first.fingerprint == again.fingerprint
    with pytest.raises(InvalidEvent, match=r"`\$\.anything` holds NaN"):
        send(Noted(anything={9: math.nan}))


def test_absent_values_are_no_nan() -> None:
    assert b'"maybe":null' in send(Noted(maybe=None, anything=[None], text="null"))
    assert b'"text":null' in send(Plain(None))


@pytest.mark.parametrize("thing", [{"text": "a"}, "text", None, 7, dict])
def test_what_is_no_event_is_not_published(thing: Any) -> None:
    with pytest.raises(InvalidEvent, match="is not an Event: declare a contract"):
        send(thing)


def test_a_class_is_not_published() -> None:
    with pytest.raises(InvalidEvent, match="Plain is a class: publish an instance of it"):
        send(Plain)


def test_a_bad_entity_key_is_not_published() -> None:
    with pytest.raises(InvalidKey, match="noted, key from id: a key cannot be empty"):
        send(Noted(id=""))
    with pytest.raises(InvalidKey, match="255 bytes at most, but has 256"):
        send(Noted(id="k" * 256))


def test_a_time_without_a_zone_is_not_published() -> None:
    with pytest.raises(InvalidEvent, match="names no time zone"):
        send(Plain(), time=datetime(2026, 1, 1))  # noqa: DTZ001 - a naive one is what is tried


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ({str(n): "" for n in range(33)}, "32 attributes at most, but has 33"),
        ({"": "a"}, "1 to 64 characters, but has 0"),
        ({"n" * 65: "a"}, "1 to 64 characters, but has 65"),
        ({"name": "SECRET" * 200}, "attribute 'name' can have 1024 characters at most, but has 1200"),
        ({"name": 7}, "attribute 'name' must be text, but is a int: convert it"),
        ({"name": None}, "must be text, but is a NoneType"),
        ({7: "a"}, "an attribute's name must be text, but is a int"),
        ({"name": "\ud800SECRET"}, "not valid Unicode"),
    ],
)
def test_attributes_are_short_texts_by_name(attributes: Any, fault: str) -> None:
    with pytest.raises(InvalidAttributes, match=fault) as raised:
        send(Plain(), attributes=attributes)
    assert "SECRET" not in "".join(traceback.format_exception(raised.value))


def test_attributes_up_to_the_limits_are_taken() -> None:
    attributes = {f"{n:064}": "v" * 1024 for n in range(32)}
    assert decode_envelope(send(Plain(), attributes=attributes)).attributes == attributes


def test_a_body_may_be_a_view_of_something_larger() -> None:
    body = send(Noted(text="a"))
    assert bytes(decode_envelope(memoryview(b"header" + body)[6:]).data) == bytes(decode_envelope(body).data)


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "Input data was truncated"),
        (b"SECRET", "JSON is malformed"),
        (b"{'id': 'SECRET'}", "JSON is malformed"),
        (b'["SECRET"]', "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (HEAD, "Input data was truncated"),
        (HEAD + b"}", "Object missing required field `data`"),
        (HEAD.replace(b'"id":"e",', b"") + b',"data":1}', "Object missing required field `id`"),
        (HEAD.replace(b'"e"', b'""') + b',"data":1}', r"length >= 1 at `\$\.id`"),
        (HEAD.replace(b'"e"', b'["SECRET"]') + b',"data":1}', r"Expected `str`, got `array` at `\$\.id`"),
        (HEAD.replace(b"1.0", b"SECRET") + b',"data":1}', r"a value is not allowed .* at `\$\.specversion`"),
        (HEAD.replace(b"2026", b"SECRET") + b',"data":1}', r"Invalid RFC3339 .* at `\$\.time`"),
        (HEAD.replace(b"00Z", b"00") + b',"data":1}', r"timezone component at `\$\.time`"),
        (HEAD + b',"dataversion":0,"data":1}', r">= 1 at `\$\.dataversion`"),
        (HEAD + b',"dataversion":"SECRET","data":1}', r"Expected `int`, got `str` at `\$\.dataversion`"),
        (HEAD + b',"dataversion":true,"data":1}', r"Expected `int`, got `bool` at `\$\.dataversion`"),
        (HEAD + b',"dataversion":1.0,"data":1}', r"at `\$\.dataversion`"),
        (HEAD + b',"dataversion":' + b"1" * 5000 + b',"data":1}', r"out of range at `\$\.dataversion`"),
        (HEAD + b',"attributes":{"SECRET":7},"data":1}', r"got `int` at `\$\.attributes\[...\]`"),
        (HEAD + b',"subject":7,"data":1}', r"Expected `str \| null`, got `int` at `\$\.subject`"),
        (HEAD + b',"data":SECRET}', "JSON is malformed"),
        (HEAD + b',"data":{"a":1}} SECRET', "JSON is malformed: trailing characters"),
        (HEAD + b',"subject":"SECRET\xff","data":1}', "not valid UTF-8"),
        (HEAD + b',"data":' + DEEP + b"}", "nested deeper than 128 levels"),
        (HEAD + b',"unknown":' + DEEP + b',"data":1}', "nested deeper than 128 levels"),
        (DEEP, "nested deeper than 128 levels"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested deeper than 128 levels"),
        (b"[" * 100_000, "nested deeper than 128 levels"),
    ],
)
def test_what_is_no_envelope_is_refused_naming_the_field_and_not_the_content(body: bytes, fault: str) -> None:
    with pytest.raises(UnreadableBody, match=fault) as raised:
        decode_envelope(body)
    assert "SECRET" not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__context__ is None


def test_a_deep_body_is_refused_on_a_small_stack_and_a_high_recursion_limit() -> None:
    program = (
        "import sys, threading\n"
        "from callboard.messages.codec import decode_envelope\n"
        "from callboard.messages.errors import UnreadableBody\n"
        "sys.setrecursionlimit(10**6)\n"
        "threading.stack_size(256 * 1024)\n"
        "def refuse():\n"
        "    try:\n        decode_envelope(b'[' * 10**6)\n"
        "    except UnreadableBody:\n        print('refused')\n"
        "    try:\n        decode_envelope(b'[' * 128 + b']' * 128)\n"
        "    except UnreadableBody:\n        print('survived')\n"
        "thread = threading.Thread(target=refuse)\nthread.start()\nthread.join()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused", "survived"]


@pytest.mark.parametrize("wrap", [lambda inner: b"[%s]" % inner, lambda inner: b'{"a":%s}' % inner])
def test_the_depth_is_bounded_exactly(wrap: Callable[[bytes], bytes]) -> None:
    body = b"[{},[]]"
    for _ in range(MAX_DEPTH - 2):
        body = wrap(body)
    check_depth(body)
    with pytest.raises(UnreadableBody, match="nested deeper than 128"):
        check_depth(wrap(body))


@pytest.mark.parametrize(
    "text", ["[" * 500, "{" * 500, '"[' * 500, '\\"[' * 500, "\\" * 500 + "[" * 500, "\\\\[" * 500, "]" * 500]
)
def test_brackets_in_text_do_not_count(text: str) -> None:
    check_depth(json.dumps({"a": text, text: [text]}).encode())


@pytest.mark.parametrize("hidden", ['"]"', '"\\"]"', '"\\\\","]"', '"]]","\\\\\\"]"', '"}"'])
def test_closing_brackets_in_text_do_not_hide_the_depth(hidden: str) -> None:
    body = f"[{hidden},".encode() * 200 + b"1" + b"]" * 200
    json.loads(body)
    with pytest.raises(UnreadableBody, match="nested deeper"):
        check_depth(body)


def test_a_wide_body_is_not_deep() -> None:
    check_depth(json.dumps([{"a": [1, {"b": []}], "c": 'x"]['} for _ in range(2000)]).encode())


json_values = st.recursive(
    st.none() | st.integers() | st.text('[]{}"\\,a', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\', max_size=3), inner, max_size=4)
    ),
    max_leaves=40,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(json_values, st.integers(2, 6))
def test_a_bound_holds_for_the_depth_that_there_is(value: Any, limit: int) -> None:
    assert is_too_deep(json.dumps(value).encode(), limit) == (depth_of(value) > limit)


@given(st.binary(max_size=300) | st.text('[]{}"\\:,1', max_size=300).map(str.encode))
def test_any_bytes_are_an_envelope_or_an_unreadable_body(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        decode_envelope(body)


@given(
    st.builds(
        Noted, id=st.just("n"), text=st.text(), count=st.integers(-(2**63), 2**64 - 1), ratio=st.floats()
    )
)
def test_what_is_published_can_be_read(event: Noted) -> None:
    try:
        body = send(event)
    except InvalidEvent:
        assert not math.isfinite(event.ratio) or any("\ud800" <= letter <= "\udfff" for letter in event.text)
    else:
        assert msgspec.json.decode(decode_envelope(body).data, type=Noted) == event


def test_many_threads_may_encode_and_decode_at_once() -> None:
    seen: list[bool] = []

    def go_around() -> None:
        for number in range(200):
            body = send(Noted(count=number))
            seen.append(msgspec.json.decode(decode_envelope(body).data, type=Noted).count == number)

    threads = [threading.Thread(target=go_around) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 800
    assert all(seen)
