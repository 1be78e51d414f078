"""The key that some fields make, read from an event that is encoded already."""

from typing import Any

import msgspec

from .envelope import Envelope
from .errors import InvalidKey
from .event import joined_key

_envelopes = msgspec.json.Decoder(Envelope)
_fields = msgspec.json.Decoder(dict[str, Any])


def key_in(body: bytes, fields: tuple[str, ...]) -> str:
    """The key that fields of an encoded event make, the same as they make of the event itself.

    Raises `InvalidKey` when a field is missing, or is neither text nor a number.
    """
    envelope = _envelopes.decode(body)
    data = _fields.decode(envelope.data)
    return joined_key(envelope.type, fields, [_text(envelope.type, data, field) for field in fields])


def id_in(body: bytes) -> str:
    """The id of an encoded event."""
    return _envelopes.decode(body).id


def _text(contract: str, data: dict[str, Any], field: str) -> str:
    value = data.get(field)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return msgspec.json.encode(value).decode()
    raise InvalidKey(
        f"{contract}: `{field}` is part of a key and so must be text or a number, but is "
        f"{'missing or null' if value is None else f'a {type(value).__name__}'}"
    )
