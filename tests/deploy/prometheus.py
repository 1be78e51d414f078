"""A real Prometheus on loopback, that scrapes what a test names and quickens the rules that are committed."""

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.boards.made import RULES
from tests.programs import needed

WITHIN = 30.0
"""Seconds in which it comes up or ends."""

QUICKER = 60
"""A minute of the rules is a second of the test."""

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

LIMITS = {"> 60": "> 1", "> 300": "> 5", "> 3600": "> 60", "> 120": "> 2"}
"""The thresholds that are lengths of time, and what they are when time goes quicker."""


def quickened(text: str) -> str:
    """The rules with all lengths of time divided by `QUICKER`; the names of records stay."""
    rules = yaml.safe_load(text)
    for group in rules["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = _quicker_expression(rule["expr"])
            if "for" in rule:
                rule["for"] = _quicker(rule["for"])
    return yaml.safe_dump(rules)


def _quicker(duration: str) -> str:
    return f"{max(1, int(duration[:-1]) * SECONDS[duration[-1]] // QUICKER)}s"


def _quicker_expression(expr: str) -> str:
    expr = re.sub(r"(?<=\[)\d+[smhd](?=\])", lambda found: _quicker(found[0]), expr)
    expr = re.sub(r"(?<=offset )\d+[smhd]", lambda found: _quicker(found[0]), expr)
    return re.sub(r"> (?:60|300|3600|120)\b(?!\.)", lambda found: LIMITS[found[0]], expr)


class Prometheus:
    """One that runs, and answers questions."""

    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an expression now: `metric`, its labels, and `value`, a time and a figure."""
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found

    def firing(self) -> set[str]:
        """The names of the alerts that call somebody now."""
        alerts = self.ask("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def ask(self, path: str, **parameters: str) -> Any:
        """What its API answers; an error that it tells is one here."""
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error


@contextmanager
def prometheus(directory: Path, jobs: dict[str, str]) -> Iterator[Prometheus]:
    """Run one that scrapes addresses by the names of their jobs, twice a second."""
    binary = needed("prometheus", "prometheus")
    directory.mkdir()
    (directory / "rules.yml").write_text(quickened(RULES.read_text("utf-8")))
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [address]}]} for name, address in jobs.items()
        ],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [binary, "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address={address}"], cwd=directory, stdout=log, stderr=log
        )
    try:
        await_so(lambda: _is_ready(address), "Prometheus is ready", WITHIN)
        yield Prometheus(address)
    finally:
        process.terminate()
        process.wait(WITHIN)


def free_port() -> int:
    """A port on loopback that nobody has now."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port: int = line.getsockname()[1]
        return port


def await_so(thing: Callable[[], object], what: object, within: float) -> None:
    """Return when it is so; fail when it is not for too long."""
    give_up_at = time.monotonic() + within
    while not thing():
        if time.monotonic() > give_up_at:
            pytest.fail(f"not within {within:g} s: {what}")
        time.sleep(0.1)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
