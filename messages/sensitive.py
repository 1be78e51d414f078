"""Which fields of a contract are for nobody's eyes: the mark on them, and where they stand in a body."""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec

MASK = "***"
"""What is shown in the place of a sensitive value."""

ANY = "*"
"""Any element of a list, or any value of an object, as a step of a path."""

Step = str
Path = tuple[Step, ...]
"""The way from a body to a value in it: the names of fields as they are encoded, positions, and `ANY`."""

_WRAPPERS = (Required, NotRequired, Final)


class _Found(NamedTuple):
    """A path to what is sensitive, or to what is if its own kind above it holds anything that is."""

    path: Path
    again: Any = None
    """The kind above, where it comes again."""


class Sensitive:
    """Marks a field whose value no log, listing, error record or trace may show.

    Write `Annotated[str, Sensitive]`, anywhere in the type of a field: `list[Annotated[str, Sensitive]]`
    marks every element, `Annotated[Address, Sensitive]` all of the address.
    """


def sensitive_paths(cls: type[Any]) -> tuple[str, ...]:
    """Where the sensitive values of a struct stand in its JSON, as JSON pointers in which `*` is any step.

    Of a struct that holds its own kind again, all that is held is sensitive if a field of it is. Raises
    `NameError` while an annotation names what is not defined yet.
    """
    return tuple(dict.fromkeys(_pointer(found.path) for found in _in_type(cls, (), ())))


def masked(value: Any, paths: tuple[str, ...]) -> Any:
    """A copy of a value as JSON decodes it, with `MASK` in the place of what the paths lead to."""
    for path in map(_steps, paths):
        value = _mask(value, path)
    return value


def values_at(value: Any, paths: tuple[str, ...]) -> Iterator[Any]:
    """All texts and numbers that the paths lead to."""
    for path in map(_steps, paths):
        for found in _follow(value, path):
            yield from _leaves(found)


def is_marked(hint: Any) -> bool:
    """Whether an annotation is itself marked as sensitive."""
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return any(mark is Sensitive or isinstance(mark, Sensitive) for mark in marks)


def _in_type(hint: Any, at: Path, above: tuple[Any, ...]) -> Iterator[_Found]:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_marked(hint):
        yield _Found(at)
    elif origin is Annotated or origin in _WRAPPERS:
        yield from _in_type(arguments[0], at, above)
    elif origin in (Union, UnionType):
        for member in arguments:
            yield from _in_type(member, at, above)
    elif isinstance(hint, NewType):
        yield from _in_type(hint.__supertype__, at, above)
    elif isinstance(hint, TypeVar):
        yield from _in_type(hint.__bound__, at, above)
    elif hasattr(hint, "__value__"):  # `type Name = ...`, of Python 3.12
        yield from _in_type(hint.__value__, at, above)
    elif _has_fields(origin or hint):
        yield from _in_fields(hint, at, above)
    else:
        yield from _in_members(origin, arguments, at, above)


def _in_fields(hint: Any, at: Path, above: tuple[Any, ...]) -> Iterator[_Found]:
    if hint in above:
        yield _Found(at, hint)
        return
    found = [each for step, inner in _fields(hint) for each in _in_type(inner, (*at, step), (*above, hint))]
    others = [each for each in found if each.again != hint]
    yield from others
    # Where it comes again it goes on without end, so all of that is sensitive if anything is.
    if others:
        surest = min(others, key=lambda each: each.again is not None)
        yield from (_Found(each.path, surest.again) for each in found if each.again == hint)


def _in_members(
    origin: Any, arguments: tuple[Any, ...], at: Path, above: tuple[Any, ...]
) -> Iterator[_Found]:
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    if is_mapping and arguments:
        # A key cannot be masked by itself.
        yield from (_Found(at, each.again) for each in _in_type(arguments[0], at, above))
        arguments = arguments[1:]
    for member in arguments:
        yield from _in_type(member, (*at, ANY), above)


def _has_fields(cls: Any) -> bool:
    return isinstance(cls, type) and (
        issubclass(cls, msgspec.Struct)
        or dataclasses.is_dataclass(cls)
        or is_typeddict(cls)
        or hasattr(cls, "__attrs_attrs__")
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
    )


def _fields(hint: Any) -> Iterator[tuple[Step, Any]]:
    """How each field is found in JSON, and its annotation."""
    cls = get_origin(hint) or hint
    filled = dict(zip(getattr(cls, "__parameters__", ()), get_args(hint), strict=False))
    hints = get_type_hints(cls, include_extras=True)
    for position, (name, encoded) in enumerate(_names(cls, hints)):
        step = str(position) if _is_array(cls) else encoded
        if get_origin(hints[name]) is not ClassVar:
            yield step, _filled_in(hints[name], filled)


def _names(cls: Any, hints: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if issubclass(cls, msgspec.Struct):
        yield from zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
    else:
        yield from ((name, name) for name in getattr(cls, "_fields", hints))


def _is_array(cls: Any) -> bool:
    return issubclass(cls, tuple) or (issubclass(cls, msgspec.Struct) and cls.__struct_config__.array_like)


def _filled_in(hint: Any, filled: Mapping[Any, Any]) -> Any:
    """An annotation with the parameters of a generic class filled in."""
    if isinstance(hint, TypeVar):
        return filled.get(hint, hint)
    wanted = getattr(hint, "__parameters__", ())
    if wanted and get_origin(hint) is not None:
        return hint[tuple(filled.get(parameter, parameter) for parameter in wanted)]
    return hint


def _mask(value: Any, path: Path) -> Any:
    if not path:
        return None if value is None else MASK
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {key: _mask(inner, rest) if step in (ANY, str(key)) else inner for key, inner in value.items()}
    if isinstance(value, list):
        return [
            _mask(inner, rest) if step in (ANY, str(position)) else inner
            for position, inner in enumerate(value)
        ]
    return value


def _follow(value: Any, path: Path) -> Iterator[Any]:
    if not path:
        yield value
        return
    step, rest = path[0], path[1:]
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in named:
        if step in (ANY, str(name)):
            yield from _follow(inner, rest)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield value


def _pointer(path: Path) -> str:
    """RFC 6901, with `*` as it is: a field of that name would be found by it too."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


@lru_cache(1024)
def _steps(pointer: str) -> Path:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
