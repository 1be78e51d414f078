"""What each command prints with `--json`, as a type: schemas that scripts may rely on are made of these."""

from difflib import get_close_matches
from importlib import import_module
from typing import Any

import msgspec

from ..messages.errors import ConfigurationError

OUTPUTS = {
    "check": "check:Checked",
    "demo": "demo:Shown",
    "dlq discard": "dlq:Mended",
    "dlq list": "dlq_shown:Listed",
    "dlq replay": "dlq:Mended",
    "dlq show": "event_shown:RecordShown",
    "doctor": "doctor:Examined",
    "event list": "event:ListedEvents",
    "event show": "event_shown:EventShown",
    "info": "info:Shown",
    "inspect": "inspect:Shown",
    "queue drain": "queue_shown:Drained",
    "queue pause": "queue_shown:PausedQueues",
    "queue purge": "queue_shown:Purged",
    "queue resume": "queue_shown:ResumedQueues",
    "routes": "routes:Shown",
    "schedule cancel": "schedule:Changes",
    "schedule list": "schedule:Listed",
    "schedule move": "schedule:Changes",
    "send": "stream:Accepted",
    "server": "server:Status",
    "server status": "server:Status",
    "trace": "trace:Shown",
}
"""Every command that has `--json`, and where the type of what it prints is, or of each line."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def type_of(name: str) -> Any:
    """The type of what a command prints; raises `ConfigurationError`, naming the nearest."""
    if name not in OUTPUTS:
        near = get_close_matches(name, OUTPUTS, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, OUTPUTS))}"
        raise ConfigurationError(f"no command {name!r} has --json: {mend}")
    module, _, attribute = OUTPUTS[name].partition(":")
    return getattr(import_module(f".{module}", __package__), attribute)


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of what a command prints; raises `ConfigurationError`."""
    return {"$schema": DIALECT, "title": f"callboard {name} --json", **msgspec.json.schema(type_of(name))}
