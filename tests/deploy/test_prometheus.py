"""A real Prometheus scrapes worker pools in every kind of trouble: each panel has data, each alert fires."""

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from callboard.actors.mailbox.redis import RedisMailbox
from deploy.boards.alerts import ALERTS
from deploy.boards.made import BOARDS, RULES
from tests.deploy.prometheus import LIMITS, Prometheus, await_so, free_port, prometheus, quickened
from tests.programs import needed
from tests.servers import Server, start_server

ROOT = Path(__file__).parents[2]

PANELS_WITHIN = 60.0
ALERTS_WITHIN = 90.0
UP_WITHIN = 30.0

VARIABLES = {"$__rate_interval": "10s", "$event": ".*", "$actor": ".*"}
"""What Grafana would put in."""

BLIND = {"StoreFailing", "CollectorDown"}
"""The alerts for a server that is away, when no other can be told."""


def queries() -> dict[str, str]:
    """What every panel of every dashboard asks for, as Grafana would."""
    asked = {}
    for board in BOARDS:
        for row in board.rows:
            for panel in row.panels:
                for position, query in enumerate(panel.queries):
                    expr = query.expr
                    for name, value in VARIABLES.items():
                        expr = expr.replace(name, value)
                    asked[f"{board.file}: {panel.title}: {'ABCDEFGH'[position]}"] = expr
    return asked


def has_data(series: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(each["value"][1])) for each in series)


@contextmanager
def pool(directory: Path, server: Server, port: int, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`callboard run` with its metrics on a port."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    with (directory / f"pool-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "callboard", "run", "tests.deploy.scene:app", "-p", "1"),
                *("--metrics", f"127.0.0.1:{port}", *arguments),
            ],
            cwd=directory,
            env=environment | {"CALLBOARD_URL": server.url, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(UP_WITHIN)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = start_server("valkey", tmp_path / "server")
    monkeypatch.setenv("CALLBOARD_URL", made.url)
    yield made
    made.stop()


@pytest.fixture
def seen(tmp_path: Path, server: Server) -> Iterator[Prometheus]:
    """A Prometheus that scrapes two pools: one with too much to do, and one where everything goes wrong."""
    ports = {"scene": free_port(), "hogs": free_port()}
    with ExitStack() as stack:
        jobs = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        seen = stack.enter_context(prometheus(tmp_path / "prometheus", jobs))
        stack.enter_context(
            pool(tmp_path, server, ports["scene"], "-t", "8", "-Q", "trouble", "parts", "stored", "lost")
        )
        stack.enter_context(pool(tmp_path, server, ports["hogs"], "-t", "2", "-Q", "hogs"))
        await_so(lambda: len(seen.query("up == 1")) == len(ports), "both pools are scraped", UP_WITHIN)
        yield seen


def test_when_time_goes_quicker_no_length_of_the_rules_is_left_behind(tmp_path: Path) -> None:
    committed = RULES.read_text("utf-8")
    (tmp_path / "rules.yml").write_text(quickened(committed))
    rules, slower = (
        [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
        for text in (quickened(committed), committed)
    )
    limits = [set(re.findall(r"> \d{2,}\b", rule["expr"])) - {"> 14"} for rule in slower]
    assert set().union(*limits) == set(LIMITS)
    for rule, found in zip(rules, limits, strict=True):
        assert all(LIMITS[limit] in rule["expr"] for limit in found)
    lengths = {each for rule in rules for each in re.findall(r"\[(\w+)\]", rule["expr"])}
    assert lengths == {"2s", "5s", "10s", "15s", "30s", "60s", "360s", "43200s"}
    assert {rule["for"] for rule in rules if "for" in rule} == {"1s", "2s", "5s", "10s", "15s", "30s"}
    done = subprocess.run(
        [needed("promtool", "prometheus"), "check", "rules", str(tmp_path / "rules.yml")],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(300)
def test_every_panel_has_data_and_every_alert_fires(seen: Prometheus, server: Server, tmp_path: Path) -> None:
    # Here, for it opens the mailbox that the environment names.
    from tests.deploy.scene import Trouble, app  # noqa: PLC0415
    from tests.deploy.trouble import fence_off, trouble  # noqa: PLC0415

    mailbox = RedisMailbox(server.url, "default")
    app.publish_many([Trouble("fine", number) for number in range(20)])
    # Three actors take each of them.
    await_so(lambda: seen.query("sum(callboard_deliveries_ended_total) == 60"), "all have ended", UP_WITHIN)
    # Time is 60 times quicker for the rules and not for the machine: who is late by two seconds is "down".
    await_so(lambda: seen.firing() == set(), "a calm pool calls nobody", UP_WITHIN)
    fence_off(mailbox, tmp_path)
    with trouble(mailbox):
        asked = queries()
        of_errors = {name: asked.pop(name) for name in list(asked) if "Errors of stores" in name}
        await_panels(seen, asked)
        await_alerts(seen, {alert.name for alert in ALERTS} - BLIND)
    server.stop()
    await_panels(seen, of_errors)
    await_alerts(seen, BLIND)
    mailbox.close()
    app.close()


def await_panels(seen: Prometheus, asked: dict[str, str]) -> None:
    """Every panel has had data."""
    assert asked
    pending = dict(asked)

    def all_had() -> bool:
        for name, expr in list(pending.items()):
            if has_data(seen.query(expr)):
                del pending[name]
        return not pending

    await_so(all_had, pending, PANELS_WITHIN)


def await_alerts(seen: Prometheus, wanted: set[str]) -> None:
    """Every alert has fired."""
    pending = set(wanted)

    def all_did() -> bool:
        pending.difference_update(seen.firing())
        return not pending

    await_so(all_did, pending, ALERTS_WITHIN)
