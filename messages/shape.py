"""What msgspec makes of a contract's fields: its decoder, and what its types can hold."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import inspect as types

from .sensitive import sensitive_paths

UNREADABLE_TYPES = (types.CustomType, types.RawType, types.ExtType)


class Shape(msgspec.Struct, frozen=True):
    """A contract's fields, compiled."""

    decode: Callable[[Any], Any]
    """Bytes (or a `msgspec.Raw`) to an instance: strict about types, lenient about unknown fields."""
    holds_floats: bool
    """Whether a float may stand somewhere in it, and so a NaN."""
    sensitive: tuple[str, ...] = ()
    """Where its sensitive values stand; see `sensitive_paths`."""


def compile_shape(cls: type[msgspec.Struct]) -> Shape:
    """The shape of a struct. Raises `NameError` while an annotation names what is not defined yet,
    and `TypeError` when msgspec cannot handle the types."""
    decoder = msgspec.json.Decoder(cls)
    holds_floats = any(_may_be_float(part) for part in _parts(types.type_info(cls), set()))
    return Shape(decoder.decode, holds_floats, sensitive_paths(cls))


def type_faults(cls: type[msgspec.Struct], keys: Iterable[str] = ()) -> list[str]:
    """What is wrong with the types of a struct's fields, a line for each; `keys` are those that make keys.

    Raises `NameError` while an annotation names what is not defined yet.
    """
    try:
        msgspec.json.Decoder(cls)
        info = types.type_info(cls)
    except TypeError as error:
        return [f"a field's type cannot be read: {error}"]
    assert isinstance(info, types.StructType)  # noqa: S101 - a struct's info is that by msgspec's contract
    faults = [fault for field in info.fields for fault in _field_faults(field)]
    return [*faults, *_sensitive_key_faults(cls, keys)]


def _sensitive_key_faults(cls: type[msgspec.Struct], keys: Iterable[str]) -> Iterator[str]:
    names = dict(zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True))
    sensitive = sensitive_paths(cls)
    for key in keys:
        if f"/{names.get(key)}" in sensitive:
            yield (
                f"field `{key}` is sensitive and so cannot be part of a key, which stands in ids, records "
                "and logs: use an id or a digest of it"
            )


def _field_faults(field: types.Field) -> Iterator[str]:
    for part in _parts(field.type, set()):
        if isinstance(part, UNREADABLE_TYPES):
            named = part.cls.__qualname__ if isinstance(part, types.CustomType) else type(part).__name__
            yield (
                f"field `{field.name}` holds {named}, which cannot be read from JSON: "
                "use a Struct, a dataclass or a built-in type"
            )


def _parts(node: object, seen: set[int]) -> Iterator[types.Type]:
    """Every type that a type is made of, itself included, each once."""
    if isinstance(node, tuple):
        for member in node:
            yield from _parts(member, seen)
    elif isinstance(node, types.Type | types.Field) and id(node) not in seen:
        seen.add(id(node))
        if isinstance(node, types.Type):
            yield node
        for name in node.__struct_fields__:
            yield from _parts(getattr(node, name), seen)


def _may_be_float(part: types.Type) -> bool:
    return isinstance(part, types.FloatType | types.AnyType)
