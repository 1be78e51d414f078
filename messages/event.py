"""What can be said: `Event`, the class keywords that declare a contract, and the keys an event carries."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast, dataclass_transform

import msgspec

from .contract import (
    Contract,
    Declaration,
    Kind,
    field_names,
    nearest_keyword,
    struct_option_faults,
    unannotated_faults,
)
from .errors import InvalidContract, InvalidEvent, InvalidKey
from .shape import Shape, compile_shape, type_faults

__all__ = [
    "Command",
    "Contract",
    "Event",
    "EventMeta",
    "Kind",
    "check_key",
    "contract_of",
    "dedup_key_of",
    "entity_key_of",
    "shape_of",
]

MAX_KEY_BYTES = 255
"""Bytes of a key in UTF-8."""

_Class = TypeVar("_Class", bound="EventMeta")


def _known_type_faults(cls: type[msgspec.Struct], keys: tuple[str, ...]) -> list[str]:
    """The faults of the fields' types, none yet if an annotation names what is still to be defined."""
    try:
        return type_faults(cls, keys)
    except NameError:
        return []


def _all_type_faults(cls: type[msgspec.Struct], keys: tuple[str, ...]) -> list[str]:
    try:
        return type_faults(cls, keys)
    except NameError as error:
        return [f"an annotation names what is not defined: {error}; define or import it at the module's top"]


def _invalid(label: str, faults: list[str]) -> InvalidContract:
    return InvalidContract([f"{label}: {fault}" for fault in faults])


class EventMeta(msgspec.StructMeta):
    """Takes a contract's class keywords and hands msgspec's own on to it."""

    __contract__: Contract
    """Its own; an abstract class has none."""
    __kind__: Kind
    __shape__: Shape
    """Compiled when it is first wanted."""

    def __new__(  # noqa: PYI019 - PEP 673 has no Self for metaclasses
        mcls: type[_Class],
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        name: str | None = None,
        version: int = 1,
        key: str | tuple[str, ...] = (),
        dedup: str | tuple[str, ...] = (),
        kind: Kind | str | None = None,
        window: str | float | timedelta = "24h",
        retention: str | float | timedelta | None = None,
        abstract: bool = False,
        **struct_options: Any,
    ) -> _Class:
        """Declare a contract; raises `InvalidContract` with all faults of the class at once."""
        declaration = Declaration(name, version, key, dedup, kind, window, retention)
        inherited = next((base.__kind__ for base in bases if isinstance(base, EventMeta)), Kind.DOMAIN)
        faults = [*declaration.faults(inherited, abstract=abstract), *struct_option_faults(struct_options)]
        label = f"{namespace.get('__module__')}.{namespace.get('__qualname__', class_name)}"
        try:
            cls = super().__new__(mcls, class_name, bases, namespace, **struct_options)
        except (TypeError, ValueError) as error:
            refused = f"msgspec refuses it: {error}{nearest_keyword(struct_options)}"
            raise _invalid(label, [*faults, refused]) from error
        made = cast("type[Event]", cls)
        faults += [*declaration.field_faults(made.__struct_fields__), *unannotated_faults(made, namespace)]
        faults += _known_type_faults(made, (*field_names(key), *field_names(dedup)))
        if faults:
            raise _invalid(label, faults)
        cls.__kind__ = declaration.settled_kind(inherited)
        if not abstract:
            cls.__contract__ = declaration.contract(made, inherited)
        return cls


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Event(msgspec.Struct, frozen=True, gc=False, metaclass=EventMeta, abstract=True):
    """The base of all contracts: subclass it with a name, and annotate the fields.

    Class keywords: `name` (dotted lower-case words), `version` (from 1), `key` (the fields that name the
    entity), `dedup` (the fields that make the dedup key, if not the event's id), `kind`, `window` (how
    long a completed dedup key is remembered), `retention` (how long a record of every delivery is kept,
    those of successes too), `abstract=True` for a base without a name, and those of
    `msgspec.Struct`. Only `kind` is inherited. Its repr shows the fields of `key` alone.
    """

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__qualname__}({shown})" if shown else f"{type(self).__qualname__}(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in contract_of(self).key]


class Command(Event, kind=Kind.COMMAND, abstract=True):
    """The base of events that exactly one actor must handle."""


def contract_of(event: object) -> Contract:
    """The contract of an event or of its class; raises `InvalidEvent` for anything else."""
    cls = event if isinstance(event, type) else type(event)
    contract = cls.__dict__.get("__contract__")
    if isinstance(contract, Contract):
        return contract
    if isinstance(cls, EventMeta):
        raise InvalidEvent(
            f"{cls.__qualname__} is abstract: use a contract that derives from it and has a name"
        )
    wanted = "OrderPlaced" if cls.__module__ in {"builtins", "types", "typing"} else cls.__name__
    raise InvalidEvent(
        f"{cls.__qualname__} is not an Event: declare a contract, as in "
        f'`class {wanted}(Event, name="...")`, and use an instance of it'
    )


def shape_of(cls: type[Event]) -> Shape:
    """The compiled fields of a contract; raises `InvalidContract` when its types cannot be read."""
    shape: Shape | None = cls.__dict__.get("__shape__")
    if shape is None:
        contract = cls.__dict__.get("__contract__")
        faults = _all_type_faults(cls, (*contract.key, *contract.dedup) if contract else ())
        if faults:
            raise _invalid(f"{cls.__module__}.{cls.__qualname__}", faults)
        shape = cls.__shape__ = compile_shape(cls)
    return shape


def entity_key_of(event: Event) -> str | None:
    """The key of the entity an event is about, None if its contract names none; raises `InvalidKey`."""
    return key_from(event, contract_of(event).key)


def dedup_key_of(event: Event) -> str | None:
    """The dedup key an event's fields make, None if its contract names none; raises `InvalidKey`."""
    return key_from(event, contract_of(event).dedup)


def check_key(key: str) -> str:
    """The key itself; raises `InvalidKey` unless it is printable text of 1 to 255 bytes in UTF-8."""
    if not isinstance(key, str):
        raise InvalidKey(f"a key must be text, but is a {type(key).__name__}")
    if not key:
        raise InvalidKey("a key cannot be empty: leave it out, or give it at least one character")
    if not key.isprintable():
        raise InvalidKey("a key cannot hold control or other unprintable characters: remove or escape them")
    size = len(key) if key.isascii() else len(key.encode())
    if size > MAX_KEY_BYTES:
        raise InvalidKey(f"a key can have {MAX_KEY_BYTES} bytes at most, but has {size}: use a digest of it")
    return key


def key_from(event: Event, fields: tuple[str, ...]) -> str | None:
    """The key that some fields of an event make, None if there are none; raises `InvalidKey`.

    One field is taken as it is; several are joined by colons, with `%` and `:` in them escaped, so that
    no two events share a key by chance.
    """
    if not fields:
        return None
    return joined_key(contract_of(event).name, fields, [_key_part(event, field) for field in fields])


def joined_key(contract: str, fields: Sequence[str], parts: Sequence[str]) -> str:
    """The key that the texts of some fields make; raises `InvalidKey`."""
    key = parts[0] if len(parts) == 1 else ":".join([_escaped(part) for part in parts])
    try:
        return check_key(key)
    except InvalidKey as error:
        raise InvalidKey(f"{contract}, key from {', '.join(fields)}: {error}") from None


def _escaped(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A")


def _key_part(event: Event, field: str) -> str:
    """The text of a field in a key, as JSON would show it, without the quotes."""
    value = getattr(event, field)
    if type(value) is str:
        return value
    plain = msgspec.to_builtins(value)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, int | float):
        return msgspec.json.encode(plain).decode()
    raise InvalidKey(
        f"{contract_of(event).name}: `{field}` is part of a key and so must be text or a number, "
        f"but is a {type(value).__name__}"
    )
