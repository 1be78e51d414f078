"""A pool, a publisher and commands work on a server set up as committed, each under its own role."""

import json
import signal
import sys
from pathlib import Path

import pytest

from callboard.cli.exits import ExitCode
from tests.actors.mailbox.roles import refused_on, role_server, url_as
from tests.front.conftest import Run, Start, wait_for, words
from tests.servers import Kind

RUN = [sys.executable, "-m", "callboard", "run", "shop:app", "-p", "1", "-t", "2"]
SEND = ("send", "shop:app", "order.placed", "--data", '{"order_id": "A-1"}')


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_each_does_its_part_under_its_role_and_nothing_is_refused(
    callboard: Run, start: Start, shop: Path, environment: dict[str, str], kind: Kind
) -> None:
    place = shop / "server"
    place.mkdir()
    with role_server(kind, place, workspace="default") as server:
        roles = {
            role: {"CALLBOARD_URL": url_as(role, server.url)} for role in ("publisher", "reader", "operator")
        }
        environment["CALLBOARD_URL"] = url_as("worker", server.url)
        pool = start(RUN)
        wait_for(
            lambda: json.loads(callboard("info", "--json", env=roles["reader"]).stdout)["workers"],
            f"the pool; {(shop / 'err').read_text()}",
        )
        sent = callboard(*SEND, env=roles["publisher"])
        assert sent.returncode == ExitCode.OK, sent.stderr
        wait_for(lambda: words(shop / "effects"), "the effect")
        for looking in (["routes"], ["inspect"], ["event", "list"], ["dlq", "list"], ["schedule", "list"]):
            seen = callboard(*looking, env=roles["reader"])
            assert seen.returncode == ExitCode.OK, seen.stderr
        for mending in (["pause", "orders"], ["resume", "orders"], ["purge", "orders", "--yes"]):
            done = callboard("queue", *mending, env=roles["operator"])
            assert done.returncode == ExitCode.OK, done.stderr
        pool.send_signal(signal.SIGTERM)
        assert pool.wait(60) == ExitCode.OK, (shop / "err").read_text()
        # A worker asks at its start how often the file reaches the disk, and does without the answer.
        assert {each["object"] for each in refused_on(server.url)} <= {"config|get"}
        refused = callboard(*SEND, env=roles["reader"])
        assert refused.returncode == ExitCode.UNREACHABLE
        assert "connect as a user with the role for it" in refused.stderr
