"""What a contract declares about its events, and what can be wrong with a declaration."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import InvalidDuration
from .timing import duration_ms

if TYPE_CHECKING:
    from .event import Event

MAX_NAME_LENGTH = 100
"""Characters of a contract's name."""

LONGEST_RETENTION_MS = 3660 * 24 * 3_600_000
"""How long a record may be kept: about ten years."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9][a-z0-9_-]*)*")


class Kind(StrEnum):
    """What an event is for."""

    DOMAIN = "domain"
    """Something happened; any number of actors may care."""
    COMMAND = "command"
    """Something shall be done, by exactly one actor."""
    WORKFLOW = "workflow"
    """A step of a workflow; its envelope names the workflow and the step."""


class Contract(msgspec.Struct, frozen=True):
    """What an `Event` subclass declares about its events."""

    name: str
    version: int
    key: tuple[str, ...]
    """The fields that name the entity; empty if none."""
    dedup: tuple[str, ...]
    """The fields that make the dedup key; empty for the event's id."""
    kind: Kind
    window_ms: int
    """How long a completed dedup key is remembered, milliseconds."""
    cls: "type[Event]"
    retention_ms: int | None = None
    """How long a record of each delivery is kept, successes too; None for 30 days, the window of a success
    that had retries or items, and none of any other success."""


class Declaration(msgspec.Struct, frozen=True):
    """The class keywords of a contract as they were written, right or wrong."""

    name: Any = None
    version: Any = 1
    key: Any = ()
    dedup: Any = ()
    kind: Any = None
    """Falls back to the kind of the class it derives from."""
    window: Any = "24h"
    retention: Any = None

    def contract(self, cls: "type[Event]", inherited: Kind) -> Contract:
        """The contract of a declaration without faults."""
        return Contract(
            name=self.name,
            version=self.version,
            key=field_names(self.key),
            dedup=field_names(self.dedup),
            kind=self.settled_kind(inherited),
            window_ms=duration_ms(self.window),
            cls=cls,
            retention_ms=None if self.retention is None else duration_ms(self.retention),
        )

    def settled_kind(self, inherited: Kind) -> Kind:
        """The kind that holds, in a declaration without faults."""
        return inherited if self.kind is None else Kind(self.kind)

    def faults(self, inherited: Kind, *, abstract: bool) -> Iterator[str]:
        """What is wrong with the keywords themselves, whatever the fields are."""
        yield from self._kind_faults(inherited)
        if abstract:
            if msgspec.structs.replace(self, kind=None) != Declaration():
                yield "an abstract class takes `kind` alone: give the other keywords to the contracts"
            return
        yield from self._name_faults()
        if type(self.version) is not int or self.version < 1:
            yield f"version must be a whole number from 1, but is {self.version!r}"
        for name in ("window", "retention"):
            try:
                if (said := getattr(self, name)) is not None:
                    duration_ms(said, name=name)
            except InvalidDuration as error:
                yield str(error)
        yield from self._retention_faults()

    def _retention_faults(self) -> Iterator[str]:
        with suppress(InvalidDuration):
            if self.retention is not None and not 0 < duration_ms(self.retention) <= LONGEST_RETENTION_MS:
                yield f"retention must be more than 0 and at most 10 years, but is {self.retention!r}"

    def _name_faults(self) -> Iterator[str]:
        if self.name is None:
            yield 'it has no name: write name="order.placed" in its class line, or abstract=True for a base'
        elif not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            yield f'name must be lower-case words (a-z 0-9 _ -) such as "order.placed", but is {self.name!r}'
        elif len(self.name) > MAX_NAME_LENGTH:
            yield f"name has {len(self.name)} characters, but can have {MAX_NAME_LENGTH} at most"

    def _kind_faults(self, inherited: Kind) -> Iterator[str]:
        if self.kind is None:
            return
        if self.kind not in list(Kind):
            yield f"kind must be one of {', '.join(Kind)}, but is {self.kind!r}"
        elif inherited is Kind.COMMAND and self.kind != Kind.COMMAND:
            yield f"it derives from a command, so its kind cannot be {self.kind!r}: derive from Event instead"

    def field_faults(self, known: tuple[str, ...]) -> Iterator[str]:
        """What is wrong with the fields that `key` and `dedup` name."""
        for option, value in (("key", self.key), ("dedup", self.dedup)):
            names = field_names(value)
            if value and not names:
                yield f"{option} must be a field's name or a tuple of them, but is {value!r}"
            for name in names:
                if name not in known:
                    yield f"{option} names `{name}`, not a field: choose of {', '.join(known) or 'none'}"


def field_names(value: object) -> tuple[str, ...]:
    """The names that `key` or `dedup` gives; empty when it gives none, or something else."""
    names = (value,) if isinstance(value, str) else value
    if isinstance(names, tuple | list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()


def struct_option_faults(options: Mapping[str, Any]) -> Iterator[str]:
    """What of msgspec's own class keywords an event cannot have."""
    if options.get("frozen") is False:
        yield "events cannot change: remove frozen=False, and make changed ones with msgspec.structs.replace"
    if options.get("array_like"):
        yield "array_like=True leaves out the fields' names, which later versions need: remove it"


def nearest_keyword(options: Iterable[str]) -> str:
    """Which class keyword of a contract was meant by one that is not known; nothing if none is near."""
    known = (*Declaration.__struct_fields__, "abstract")
    near = [match for option in options for match in get_close_matches(option, known, 1)]
    return f"; did you mean {near[0]}?" if near else ""


def unannotated_faults(cls: type[msgspec.Struct], namespace: Mapping[str, Any]) -> Iterator[str]:
    """The class attributes that look like fields but have no annotation."""
    annotated = {*cls.__struct_fields__, *_annotated_names(cls, namespace)}
    for name, value in namespace.items():
        behaves = isinstance(value, type) or hasattr(value, "__get__")
        if not (name.startswith("_") or name in annotated or behaves):
            yield (
                f"`{name}` has no annotation: write `{name}: {type(value).__name__} = ...` for a field, "
                f"or `{name}: ClassVar = ...` for a constant"
            )


def _annotated_names(cls: type[msgspec.Struct], namespace: Mapping[str, Any]) -> set[str]:
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations  # noqa: PLC0415 - newer than the oldest Python we run on

        return set(get_annotations(cls, format=Format.FORWARDREF))
    return set(namespace.get("__annotations__", ()))
