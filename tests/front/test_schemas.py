"""What commands print with `--json` is what their schemas say, and nothing else."""

import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cyclopts import App

from callboard.actors.mailbox.mailbox import Posting, Settlement
from callboard.actors.mailbox.records import Facts
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.running import RunningAttempt
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.cli.exits import ExitCode
from callboard.cli.outputs import OUTPUTS, schema_of
from callboard.cli.program import COMMANDS
from callboard.messages.delivery import ErrorRecord, History
from callboard.messages.items import ItemCounts
from tests.actors.mailbox.conformance import DEAD, LONG, posting, target
from tests.front.conftest import InProcess

EVENT = '{"order_id": "A-1"}'

PLAYS: dict[str, tuple[str, ...]] = {
    "check": ("check", "shop:app"),
    "demo": ("demo", "--events", "20", "-p", "1"),
    "dlq discard": ("dlq", "discard", "--all", "--yes"),
    "dlq list": ("dlq", "list"),
    "dlq replay": ("dlq", "replay", "--all", "--yes"),
    "dlq show": ("dlq", "show", "mail:A-1#1", "--body"),
    "doctor": ("doctor",),
    "event list": ("event", "list"),
    "event show": ("event", "show", "mail:A-1", "--body"),
    "info": ("info",),
    "inspect": ("inspect",),
    "queue drain": ("queue", "drain", "--timeout", "0s"),
    "queue pause": ("queue", "pause", "orders"),
    "queue purge": ("queue", "purge", "orders", "--yes"),
    "queue resume": ("queue", "resume", "orders", "stock"),
    "routes": ("routes",),
    "schedule cancel": ("schedule", "cancel", "receipt:later", "--yes"),
    "schedule list": ("schedule", "list"),
    "schedule move": ("schedule", "move", "receipt:later", "receipt:0", "--after", "2 days"),
    "send": ("send", "shop:app", "order.placed", "--data", EVENT),
    "server": ("server",),
    "server status": ("server", "status"),
    "trace": ("trace", "receipt:0"),
}
"""How each command is called on a board that has something of everything."""


@pytest.fixture
def busy(board: RedisMailbox) -> RedisMailbox:
    """A board with routes, a lane, a pause, a worker, and something in each state."""
    board.register(
        [Subscription("receipt", "orders", {"order.placed": 1000}, concurrency=1, key=("order_id",))]
    )
    board.publish([posting(target(str(number))) for number in range(3)])
    board.publish([posting(target("later"), delay_ms=LONG), posting(target(queue="stock", actor="stock"))])
    board.publish([Posting("nobody.cares", b"{}", b"0" * 16, ())])
    board.publish([posting(target(queue="mails", actor="mail"))])
    dead = board.fetch("mails", 1, owner="host:1:abc", lease_ms=LONG).deliveries[0]
    error = ErrorRecord("KeyError", "nothing", 1, "0123456789ab")
    history = History(attempts=2, first_error=error, last_error=error)
    board.settle([Settlement(dead, DEAD, history=history, facts=Facts("A-1", "order.placed", 1))])
    board.fetch("orders", 2, owner="host:1:abc", lease_ms=LONG)
    board.heartbeat("host:1:abc", version="0.1.0")
    items = ItemCounts(succeeded=3, not_done=1)
    board.running.tell(
        "host:1:abc",
        [
            RunningAttempt("receipt:0", "orders", 1, "Thread-1", 1200, 5000, "order.placed", items=items),
            RunningAttempt("mail:7", "orders", 2, "Thread-2", 7200, stuck=True),
        ],
    )
    board.controls.pause("stock", by="ann", reason="a deploy")
    return board


def strict(schema: Any) -> Any:
    """The same schema, that lets nothing pass of which it does not know."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(value) for name, value in schema.items()}
    if made.get("type") == "object" and "properties" in made:
        made["additionalProperties"] = False
    return made


def check(document: Any, name: str) -> None:
    """Fail unless a document is what a command promises to print."""
    jsonschema.Draft202012Validator(strict(schema_of(name))).validate(document)


def commands_with_json(command: InProcess) -> Iterator[str]:
    """Every command and subcommand whose help tells of `--json`."""
    for name in COMMANDS:
        app: App = import_module(f"callboard.cli.{name}").command
        paths: list[tuple[str, ...]] = [(name,)] if app.default_command is not None else []
        paths += [(name, sub) for sub in app if not sub.startswith("-")]
        for path in paths:
            if re.search(r"^│ --json ", command(*path, "--help").out, re.MULTILINE):
                yield " ".join(path)


def test_every_command_with_json_has_a_schema_and_is_held_against_it(command: InProcess) -> None:
    """Add what is missing to `OUTPUTS` in `cli/outputs.py`, and to `PLAYS` here."""
    assert sorted(commands_with_json(command)) == sorted(OUTPUTS)
    assert sorted(PLAYS) == sorted(OUTPUTS)


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_a_command_prints_is_what_its_schema_says(
    command: InProcess, busy: RedisMailbox, shop: Path, name: str
) -> None:
    answer = command(*PLAYS[name], "--json")
    assert answer.code in (ExitCode.OK, ExitCode.FAILED), answer.err
    check(json.loads(answer.out), name)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_schema_is_one_and_is_printed(command: InProcess, name: str) -> None:
    schema = json.loads(command("schema", "--output", name).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == json.loads(json.dumps(schema_of(name)))
    for wrong in ({"unheard": "of"}, [{"unheard": "of"}], 7):
        with pytest.raises(jsonschema.ValidationError):
            check(wrong, name)


def test_a_document_with_a_slip_is_refused(command: InProcess, busy: RedisMailbox) -> None:
    told = json.loads(command("info", "--json").out)
    check(told, "info")
    slips: list[Callable[[dict[str, Any]], object]] = [
        lambda it: it.pop("place"),
        lambda it: it.update(extra=1),
        lambda it: it["queues"][1].update(ready="3"),
        lambda it: it["queues"][2]["paused"].pop("at"),
        lambda it: it["queues"][1]["lanes"][0]["holders"][0].update(pid=1),
    ]
    for slip in slips:
        wrong = json.loads(json.dumps(told))
        slip(wrong)
        with pytest.raises(jsonschema.ValidationError):
            check(wrong, "info")


def test_a_command_that_prints_no_json_names_the_nearest(command: InProcess) -> None:
    answer = command("schema", "--output", "queue drian")
    assert answer.code == ExitCode.USAGE
    assert "did you mean 'queue drain'?" in answer.err


# The schemas of contracts.


def test_the_schema_of_a_contract_takes_what_send_takes(command: InProcess, shop: Path) -> None:
    schema = json.loads(command("schema", "shop:app", "order.placed").out)
    assert (schema["$id"], schema["title"]) == ("urn:callboard:order.placed:1", "order.placed")
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(EVENT))
    validator.validate({"order_id": "A-1", "total": 2, "new": "unknown fields pass"})
    for wrong in ({}, {"order_id": 1}, {"order_id": "A-1", "total": "2"}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(wrong)


def test_all_contracts_of_an_app_are_told_by_name(command: InProcess, shop: Path) -> None:
    schemas = json.loads(command("schema", "shop:app").out)
    assert list(schemas) == ["invoice.due", "order.forgotten", "order.placed"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_contract_that_there_is_not_names_the_nearest(command: InProcess, shop: Path) -> None:
    answer = command("schema", "shop:app", "order.place")
    assert answer.code == ExitCode.USAGE
    assert "'order.placed'" in answer.err


@pytest.mark.parametrize("arguments", [(), ("shop:app", "--output", "info")])
def test_a_schema_is_of_an_app_or_of_a_command(command: InProcess, arguments: tuple[str, ...]) -> None:
    answer = command("schema", *arguments)
    assert answer.code == ExitCode.USAGE
    assert "--output info" in answer.err
