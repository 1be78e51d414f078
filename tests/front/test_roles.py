"""A pool, a publisher and commands work on a server set up as committed, each under its own role."""

import json
import signal
import sys
from pathlib import Path

import pytest

from callboard.cli.exits import ExitCode
from tests.actors.mailbox.roles import ASKED_IN_VAIN, refused_on, role_server, url_as
from tests.front.conftest import Run, Start, wait_for, words
from tests.servers import Kind

PUBLISH = """
from shop import OrderPlaced, app
from callboard.messages.errors import MailboxRefused

try:
    app.publish(OrderPlaced(order_id="A-1"))
except MailboxRefused as error:
    print(error)
"""

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
        assert {each["object"] for each in refused_on(server.url)} <= ASKED_IN_VAIN
        refused = callboard(*SEND, env=roles["reader"])
        assert refused.returncode == ExitCode.UNREACHABLE
        assert "connect as a user with the role for it" in refused.stderr


STOPPED = [
    ("publisher", {}, ExitCode.USAGE, "may not do what the role worker does on callboard:{default}:*"),
    ("reader", {}, ExitCode.USAGE, "ACL file: ~callboard:{default}:* +blpop +del"),
    (
        "worker",
        {"CALLBOARD_WORKSPACE": "other"},
        ExitCode.USAGE,
        "ACL file: ~callboard:{other}:* +blpop +del",
    ),
    ("nobody", {}, ExitCode.UNREACHABLE, "check its name and password"),
    ("wrong", {}, ExitCode.UNREACHABLE, "check its name and password"),
]


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_pool_whose_user_may_not_work_does_not_start_and_tells_the_mend(
    callboard: Run, shop: Path, kind: Kind
) -> None:
    place = shop / "server"
    place.mkdir()
    with role_server(kind, place, workspace="default") as server:
        urls = {role: url_as(role, server.url) for role in ("publisher", "reader", "worker")}
        urls |= {"nobody": server.url, "wrong": urls["worker"].replace("worker-of", "hunter2-of")}
        for user, settings, code, told in STOPPED:
            ran = callboard(*RUN[3:], env={"CALLBOARD_URL": urls[user], **settings})
            assert (ran.returncode, told in ran.stderr) == (code, True), (user, ran.stderr)
            assert ("callboard run --force" in ran.stderr) is (code is ExitCode.USAGE)
            assert "hunter2" not in ran.stderr + ran.stdout


def test_who_publishes_without_the_right_to_is_told_the_piece_and_then_refused(
    callboard: Run, shop: Path, start: Start, environment: dict[str, str]
) -> None:
    (shop / "publishes.py").write_text(PUBLISH)
    place = shop / "server"
    place.mkdir()
    with role_server("valkey", place, workspace="default") as server:
        for role, refusals, told in (("publisher", 0, ""), ("reader", 1, "~callboard:{default}:* +hincrby")):
            environment["CALLBOARD_URL"] = url_as(role, server.url)
            assert start([sys.executable, "publishes.py"]).wait(60) == 0, (shop / "err").read_text()
            said = (shop / "out").read_text() + (shop / "err").read_text()
            assert said.count("connect as a user with the role for it") == refusals, said
            assert said.count("may not do what the role publisher does") == refusals, said
            assert told in said
