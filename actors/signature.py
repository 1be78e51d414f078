"""Reads what a handler wants from its annotations: events, a context, resources."""

import inspect
import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from ..messages.errors import InvalidActor, InvalidEvent
from ..messages.event import Event, contract_of
from .batch import BatchContext
from .context import Context

_HOW = "write `def handler(event: OrderPlaced, ctx: Context)`"

_HOW_BATCH = "write `def handler(events: list[OrderPlaced], ctx: BatchContext)`"


class Wanted(msgspec.Struct, frozen=True):
    """What a handler wants to be called with, in the order of its parameters."""

    events: tuple[type[Event], ...]
    """The contracts its first parameter takes."""
    context: bool
    """Whether the second parameter is the context."""
    resources: tuple[type[Any], ...]
    """The types of the parameters after these."""
    batch: bool = False
    """Whether it takes a list of events at once."""


def read_signature(fn: Callable[..., Any], namespace: dict[str, Any] | None = None) -> Wanted:
    """What a handler wants; raises `InvalidActor` with all that is wrong with it.

    `namespace` holds the local names of the place where it was defined, for annotations kept as text.
    """
    name = f"{fn.__module__}.{fn.__qualname__}"
    try:
        hints = get_type_hints(fn, localns=namespace)
    except Exception as error:
        raise InvalidActor(
            f"{name}: an annotation cannot be resolved ({error}): import what it names"
        ) from error
    parameters = list(inspect.signature(fn).parameters.values())
    if not parameters:
        raise InvalidActor(f"{name} takes no event: {_HOW}")
    faults = [
        f"{name}: parameter {parameter.name!r} cannot be filled in: {why}"
        for parameter in parameters
        if (why := _unusable(parameter, hints))
    ]
    if faults:
        raise InvalidActor(faults)
    annotations = [hints[parameter.name] for parameter in parameters]
    is_batch = get_origin(annotations[0]) is list
    events = _events_of(name, get_args(annotations[0])[0] if is_batch else annotations[0])
    own, other, how = (BatchContext, Context, _HOW_BATCH) if is_batch else (Context, BatchContext, _HOW)
    has_context = len(annotations) > 1 and annotations[1] is own
    resources = annotations[2 if has_context else 1 :]
    if own in resources:
        raise InvalidActor(f"{name}: the context comes second, before resources: {how}")
    if other in resources:
        takes = "a list of events" if is_batch else "one event"
        raise InvalidActor(
            f"{name}: a handler of {takes} has a {own.__name__}, not a {other.__name__}: {how}"
        )
    if bad := [resource for resource in resources if not isinstance(resource, type)]:
        raise InvalidActor(f"{name}: a resource is found by its class, and {bad[0]!r} is none")
    return Wanted(events, has_context, tuple(resources), is_batch)


def _unusable(parameter: inspect.Parameter, hints: dict[str, Any]) -> str | None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
        return "handlers are called with positions; remove the star"
    if parameter.name not in hints:
        return f"it has no annotation; {_HOW}"
    return None


def _events_of(name: str, annotation: Any) -> tuple[type[Event], ...]:
    is_union = get_origin(annotation) in (Union, types.UnionType)
    members = get_args(annotation) if is_union else (annotation,)
    faults = []
    if annotation in (Context, BatchContext):
        raise InvalidActor(f"{name}: the event comes first, and then the context: {_HOW}")
    for member in members:
        try:
            contract_of(member)
        except InvalidEvent as error:
            faults.append(f"{name}: the first parameter takes events: {error}")
    if faults:
        raise InvalidActor(faults)
    return members
