"""`callboard check`: what an app declares, and all that is wrong with it, without a mailbox."""

import json
from pathlib import Path

import pytest

from callboard import Callboard, Event, MemoryMailbox
from callboard.cli.exits import ExitCode
from callboard.messages.errors import ConfigurationError
from tests.front.conftest import InProcess

FAULTY = """
from callboard import Callboard, Command, Event

app = Callboard("shop", url="redis://127.0.0.1:1/0")


class Ship(Command, name="ship"):
    order_id: str


class OrderPlaced(Event, name="order.placed", version=3):
    order_id: str


class Mailer: ...


@app.upcast(OrderPlaced, from_version=1)
def first(fields: dict) -> dict:
    return fields


@app.actor
def ship(event: Ship) -> None: ...


@app.actor
def ship_too(event: Ship) -> None: ...


@app.actor
def mail(event: OrderPlaced, mailer: Mailer) -> None: ...
"""


def test_an_app_that_is_well_is_summed_up(command: InProcess, shop: Path) -> None:
    answer = command("check", "shop:app")
    assert answer.code == 0
    assert answer.out.startswith("shop:app is well: 3 contracts, 1 actors on 1 queues, 0 plain actors\n")
    assert "invoice.due, order.forgotten" in answer.out
    assert not (shop / ".callboard").exists()


def test_all_faults_of_an_app_are_told_at_once(command: InProcess, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    answer = command("check", "faulty:app")
    assert (answer.code, answer.out) == (ExitCode.USAGE, "")
    lines = answer.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("callboard: faulty:app: ") for line in lines)
    assert "from_version=2" in lines[0]
    assert "app.provide(Mailer, ...)" in lines[1]
    assert "ship and ship_too" in lines[2]


def test_faults_are_told_as_json_too(command: InProcess, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    answer = command("check", "faulty:app", "--json")
    told = json.loads(answer.out)
    assert (answer.code, told["ok"], len(told["faults"])) == (ExitCode.USAGE, False, 3)
    assert [each["name"] for each in told["actors"]] == ["ship", "ship_too", "mail"]


def test_an_app_that_does_not_import_says_where(command: InProcess, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("app = 1 / 0\n")
    answer = command("check", "broken:app")
    assert answer.code == ExitCode.USAGE
    assert "ZeroDivisionError" in answer.err
    told = json.loads(command("check", "broken:app", "--json").out)
    assert (told["ok"], len(told["faults"])) == (False, 1)


def test_a_worker_does_not_start_with_an_upcaster_that_leads_nowhere() -> None:
    app = Callboard("shop", mailbox=MemoryMailbox())

    class Moved(Event, name="moved", version=4):
        to: str

    app.upcast(Moved, from_version=1)(dict)
    with pytest.raises(ConfigurationError, match="from_version=2"):
        app.check()
    app.upcast(Moved, from_version=2)(dict)
    with pytest.raises(ConfigurationError, match="from_version=3"):
        app.check()
    app.upcast(Moved, from_version=3)(dict)
    app.check()
