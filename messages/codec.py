"""Turns events into bytes and bytes into envelopes, within limits of size and depth."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b

import msgspec

from .contract import Contract
from .depth import MAX_DEPTH, is_too_deep
from .envelope import Envelope
from .errors import InvalidAttributes, InvalidEvent, PayloadTooLarge, UnreadableBody
from .event import Event, contract_of, key_from, shape_of
from .event_options import EventOptions
from .fault import fault_of
from .shape import Shape

__all__ = ["MAX_DEPTH", "MAX_EVENT_BYTES", "Encoded", "check_depth", "decode_envelope", "encode"]

MAX_EVENT_BYTES = 262_144
"""Bytes of an event with its metadata, encoded."""
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_NAME = 64
"""Characters of an attribute's name."""
MAX_ATTRIBUTE_VALUE = 1024
"""Characters of an attribute's value."""

_encoder = msgspec.json.Encoder(order="deterministic")
"""Equal events become equal bytes, whatever the order of a dict or a set."""
_envelopes = msgspec.json.Decoder(Envelope)


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """An event as bytes. Its repr shows none of them."""

    body: bytes
    """The envelope as JSON."""
    fingerprint: bytes
    """16 hexadecimal digits that tell the event's fields from others."""
    entity: str | None = None
    """The key of the entity it is about."""

    def __repr__(self) -> str:
        return f"<Encoded {len(self.body)} bytes fingerprint={self.fingerprint.decode()}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("size", len(self.body)), ("fingerprint", self.fingerprint)]


def encode(
    event: Event,
    *,
    id: str,  # noqa: A002 - the name CloudEvents gives it
    source: str,
    time: datetime | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    attributes: Mapping[str, str] | None = None,
    traceparent: str | None = None,
    workflow_id: str | None = None,
    workflow_step: str | None = None,
    options: EventOptions | None = None,
) -> Encoded:
    """The bytes of an event in its envelope; what is encoded, `Catalog.read` can read.

    `time` is the publisher's, an aware datetime. Raises `InvalidEvent` when a field holds what its
    type does not allow, `InvalidKey`, `InvalidAttributes` or `PayloadTooLarge`.
    """
    contract = contract_of(event)
    data = _encode_data(event, contract)
    envelope = Envelope(
        specversion="1.0",
        id=id,
        source=source,
        type=contract.name,
        time=datetime.now(UTC) if time is None else _in_utc(time),
        dataversion=contract.version,
        subject=key_from(event, contract.key),
        correlationid=correlation_id,
        causationid=causation_id,
        attributes=_checked_attributes(attributes) if attributes else {},
        traceparent=traceparent,
        sensitive=shape_of(contract.cls).sensitive,
        workflowid=workflow_id,
        workflowstep=workflow_step,
        data=msgspec.Raw(data),
    )
    if options is not None:
        # Not above: with more than 15 keywords Python makes a dict of them, which took 0.5 us of 4.
        envelope = msgspec.structs.replace(envelope, options=options)
    fingerprint = blake2b(data, digest_size=8).hexdigest().encode()
    return Encoded(_encode_envelope(envelope), fingerprint, envelope.subject)


def decode_envelope(body: bytes | memoryview) -> Envelope:
    """The envelope of a body, its data left raw; raises `UnreadableBody`, which shows no content."""
    content = body if isinstance(body, bytes) else bytes(body)
    check_depth(content)
    try:
        return _envelopes.decode(content)
    except Exception as error:  # noqa: BLE001 - one unreadable body must not stop its neighbours
        fault = fault_of(error)
    # Raised out here so that the decoder's error, which may quote the content, is not attached to it.
    raise UnreadableBody(f"the envelope cannot be read: {fault}")


def check_depth(body: bytes) -> None:
    """Raise `UnreadableBody` when a body is nested deeper than `MAX_DEPTH`."""
    if is_too_deep(body):
        raise UnreadableBody(
            f"the body is nested deeper than {MAX_DEPTH} levels, or its brackets do not match"
        )


def _encode_data(event: Event, contract: Contract) -> bytes:
    """The event's fields as bytes that its contract can read again."""
    if isinstance(event, type):
        raise InvalidEvent(f"{event.__qualname__} is a class: publish an instance of it")
    shape = shape_of(contract.cls)
    try:
        data = _ordered(event)
        fault = _data_fault(event, data, shape)
        if fault is None:
            shape.decode(data)
            return data
    except Exception as error:  # noqa: BLE001 - a field may hold anything, a __post_init__ raise anything
        fault = fault_of(error)
    raise InvalidEvent(f"{contract.name} v{contract.version}: {fault}")


def _ordered(event: Event) -> bytes:
    try:
        return _encoder.encode(event)
    except TypeError:
        # Keys that are not text cannot be put in order until they are: a slower way, for those alone.
        return _encoder.encode(msgspec.to_builtins(event, str_keys=True, order="deterministic"))


def _encode_envelope(envelope: Envelope) -> bytes:
    try:
        body = _encoder.encode(envelope)
    except UnicodeEncodeError:
        raise InvalidAttributes(
            f"{envelope.type}: its id, source or an attribute is not valid Unicode: remove lone surrogates"
        ) from None
    if len(body) > MAX_EVENT_BYTES:
        raise PayloadTooLarge(
            f"{envelope.type}: the event has {len(body)} bytes with its metadata, "
            f"{len(body) - MAX_EVENT_BYTES} more than the limit of {MAX_EVENT_BYTES}: "
            "store the bulk elsewhere and publish where it is"
        )
    return body


def _data_fault(event: Event, data: bytes, shape: Shape) -> str | None:
    """What is wrong with encoded fields that decoding them may not show."""
    if is_too_deep(data, MAX_DEPTH - 1):
        return f"it is nested deeper than {MAX_DEPTH - 1} levels"
    if shape.holds_floats and b"null" in data:
        for field, value in msgspec.to_builtins(event).items():
            if _holds_non_finite(value):
                return f"`$.{field}` holds NaN or infinity, which JSON cannot say: use None or text"
    return None


def _holds_non_finite(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    members = value.values() if isinstance(value, dict) else value
    return (
        isinstance(members, Iterable)
        and not isinstance(members, str)
        and any(map(_holds_non_finite, members))
    )


def _in_utc(time: datetime) -> datetime:
    if time.utcoffset() is None:
        raise InvalidEvent(
            "the event's time names no time zone: pass an aware datetime, such as datetime.now(UTC)"
        )
    return time.astimezone(UTC)


def _checked_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidAttributes(
            f"an event can have {MAX_ATTRIBUTES} attributes at most, but has {len(attributes)}"
        )
    for name, value in attributes.items():
        _check_attribute(name, value)
    return dict(attributes)


def _check_attribute(name: object, value: object) -> None:
    if not isinstance(name, str):
        raise InvalidAttributes(f"an attribute's name must be text, but is a {type(name).__name__}")
    if not 1 <= len(name) <= MAX_ATTRIBUTE_NAME:
        raise InvalidAttributes(
            f"an attribute's name must have 1 to {MAX_ATTRIBUTE_NAME} characters, but has {len(name)}"
        )
    if not isinstance(value, str):
        raise InvalidAttributes(
            f"attribute {name!r} must be text, but is a {type(value).__name__}: convert it"
        )
    if len(value) > MAX_ATTRIBUTE_VALUE:
        raise InvalidAttributes(
            f"attribute {name!r} can have {MAX_ATTRIBUTE_VALUE} characters at most, but has {len(value)}: "
            "put it into the event"
        )
