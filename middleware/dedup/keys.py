"""The dedup key of an attempt, as its actor's options say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...messages.errors import InvalidKey
from ...messages.event import check_key, key_from
from .option import Dedup

if TYPE_CHECKING:
    from ..attempt import Attempt


def key_of(attempt: "Attempt", said: Dedup) -> str:
    """The key, without the actor's name; raises `InvalidKey`, and what a callable of the user's raises."""
    if callable(said.key):
        return check_key(said.key(*_given(attempt)[0], **_given(attempt)[1]))
    if not said.fields:
        return attempt.delivery.key
    if attempt.policy.contracts:
        return _of_event(attempt, said.fields)
    return _of_arguments(attempt.arguments[1], said.fields)


def _given(attempt: "Attempt") -> tuple[tuple[Any, ...], dict[str, Any]]:
    return ((attempt.event,), {}) if attempt.policy.contracts else attempt.arguments


def _of_event(attempt: "Attempt", fields: tuple[str, ...]) -> str:
    event = attempt.event
    for name in fields:
        if name not in event.__struct_fields__:
            raise InvalidKey(
                f"{attempt.envelope.type} has no field {name!r}: name one that it has, or use a callable"
            )
    return key_from(event, fields) or attempt.delivery.key


def _of_arguments(arguments: Mapping[str, object], names: tuple[str, ...]) -> str:
    """One argument is taken as it is, several are joined so that no two messages share a key by chance."""
    parts = [_part(arguments, name) for name in names]
    if len(parts) == 1:
        return check_key(parts[0])
    return check_key(":".join([part.replace("%", "%25").replace(":", "%3A") for part in parts]))


def _part(arguments: Mapping[str, object], name: str) -> str:
    if name not in arguments:
        raise InvalidKey(f"the message has no keyword argument {name!r}: send it by name, or use a callable")
    value = arguments[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidKey(f"{name!r} is part of a key and so must be text or a number")
    return str(value)
