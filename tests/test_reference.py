"""docs/reference.md tells of every option that there is: its name, its type and its default."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_type_hints

import msgspec
import pytest

import callboard
from callboard import (
    Batch,
    Callboard,
    CallboardBroker,
    Context,
    Dedup,
    Discard,
    MemoryDedupStore,
    MemoryMailbox,
    MetricsLayer,
    RedisDedupStore,
    Retry,
    Stack,
    Tracing,
)
from callboard.actors.actor_options import ActorOptions, Said
from callboard.actors.dead_letters import DeadFilter, DeadLetters
from callboard.messages.event import EventMeta
from callboard.messages.event_options import OptionsGiven
from callboard.middleware.options import Options, OptionsSaid
from callboard.testing import Stage
from tests.documents import read, rows_under

REFERENCE = "docs/reference.md"

WITHOUT_OPTIONS = {
    *("BatchContext", "CallboardError", "Context", "DedupStore", "DeliveryReceipt", "Event", "Command"),
    *("HandlerTimeout", "Item", "PartialFailure", "Receipt", "Sensitive", "TimeIsUp"),
    *("RetryLater", "DiscardEvent", "RejectEvent", "RejectItem", "SkipItem"),
}
"""Public names that nothing is said to when they are made, or whose one argument docs/policies.md tells;
a contract's class keywords have a table."""


class Option(NamedTuple):
    """One option as the table tells it."""

    name: str
    type: str
    default: str


def of_signature(called: Callable[..., Any], *without: str) -> list[Option]:
    """What may be said by keyword to a function or a class, and what must be said first."""
    parameters = inspect.signature(called).parameters.values()
    return [
        Option(each.name, type_of(each.annotation), default_of(each.default))
        for each in parameters
        if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)
        and each.name not in ("self", *without)
    ]


def of_words(words: type, defaults: Mapping[str, object]) -> list[Option]:
    """What may be said with the keywords of a `TypedDict`."""
    hints = get_type_hints(words)
    return [Option(name, type_of(hints[name]), default_of(defaults[name])) for name in defaults]


def type_of(annotation: object) -> str:
    """A type in the reference's words: `duration`, `moment`, and ` or ` between what may be."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", text).replace("~", "")
    text = text.replace("str | float | datetime | timedelta", "When").replace("When", "duration | moment")
    text = (
        text.replace("str | float | timedelta", "duration")
        .replace(" | UnsetType", "")
        .replace("Any", "object")
    )
    return text.replace(" | ", " or ")


def default_of(default: object) -> str:
    """A default as it would be written; functions have no words for theirs."""
    if default is inspect.Parameter.empty:
        return "required"
    if isinstance(default, type):
        return default.__name__
    if isinstance(default, DeadFilter):
        return "DeadFilter()"
    return "a function" if inspect.isfunction(default) else str(default) if default != "" else '""'


def fields_of(struct: msgspec.Struct) -> dict[str, object]:
    """The fields of an object of which nothing was said, with what they are then."""
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


TABLES: dict[str, list[Option]] = {
    "Callboard": of_signature(Callboard),
    "class keyword": of_signature(EventMeta.__new__),
    "@app.actor": of_words(ActorOptions, {name: getattr(Said(), name) for name in Said.__struct_fields__}),
    "app.queue": of_words(
        OptionsSaid, {name: getattr(Options(), name) for name in Options.__struct_fields__}
    ),
    "publish": [
        *of_signature(Callboard.publish, "event"),
        *of_words(OptionsGiven, dict.fromkeys(OptionsGiven.__annotations__)),
    ],
    "app.layer": of_signature(Callboard.layer),
    "ctx.items": of_signature(Context.items, "values"),
    "Retry.exponential": of_signature(Retry.exponential),
    "Retry.every": of_signature(Retry.every),
    "Discard": of_signature(Discard),
    "Dedup": of_signature(Dedup),
    "Batch": of_signature(Batch),
    "Tracing": of_signature(Tracing),
    "RedisDedupStore": of_signature(RedisDedupStore),
    "MemoryDedupStore": of_signature(MemoryDedupStore),
    "MemoryMailbox": of_signature(MemoryMailbox),
    "Stack": of_signature(Stack),
    "MetricsLayer": of_signature(MetricsLayer),
    "CallboardBroker": of_signature(CallboardBroker),
    "app.dead_letters.replay": of_signature(DeadLetters.replay),
    "DeadFilter": of_words(DeadFilter, fields_of(DeadFilter())),
    "Stage": of_signature(Stage),
}


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_has_every_option_with_its_type_and_its_default(heading: str) -> None:
    rows = rows_under(REFERENCE, f"`{heading}`")
    assert [Option(*(cell.strip("`") for cell in row[:3])) for row in rows] == TABLES[heading]
    assert all(len(row) == 4 and row[3] for row in rows)


def test_each_table_is_held_against_the_code() -> None:
    headings = re.findall(r"^\| `(.+?)` \| type \| default \| what \|$", read(REFERENCE), re.MULTILINE)
    assert headings == list(TABLES)


def test_each_public_name_has_a_table_or_takes_no_options() -> None:
    told = {heading.partition(".")[0] for heading in TABLES}
    assert {name for name in callboard.__all__ if name not in told} == WITHOUT_OPTIONS
