"""`callboard info`, `routes` and `server`: what is shown of a mailbox, and to whom."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from callboard.cli.exits import ExitCode
from tests.front.conftest import Run, Start, wait_for

ORDER = '{"order_id": "A-1"}'


def test_info_has_the_shape_that_its_help_promises(callboard: Run, shop: Path) -> None:
    assert callboard("send", "shop:app", "order.placed", "--data", ORDER).returncode == 0
    told = json.loads(callboard("info", "--json").stdout)
    assert {"workspace", "place", "server", "at", "queues", "workers", "unrouted"} == set(told)
    figures = {"ready", "leased", "scheduled", "suspects", "accepted", "succeeded", "dead", "discarded"}
    figures |= {"duplicates", "retried", "released", "takeovers", "fenced"}
    assert [set(queue) for queue in told["queues"]] == [figures | {"queue"}]
    assert told["place"] == str(shop / ".callboard")


def test_a_table_in_a_pipe_keeps_each_queue_on_one_line(callboard: Run, shop: Path) -> None:
    assert callboard("send", "shop:app", "order.placed", "--data", ORDER).returncode == 0
    shown = callboard("info").stdout
    (line,) = [line for line in shown.splitlines() if "orders" in line]
    assert line.split()[:2] == ["orders", "1"]


def test_looking_again_shows_the_same_and_leaves_no_server_behind(callboard: Run, shop: Path) -> None:
    assert callboard("send", "shop:app", "order.placed", "--data", ORDER).returncode == 0
    for _ in range(2):
        assert json.loads(callboard("info", "--json").stdout)["queues"][0]["ready"] == 1
    wait_for(lambda: callboard("server").returncode == ExitCode.FAILED, "the end of the server")


def test_a_reader_that_leaves_gets_no_complaint(
    shop: Path, callboard: Run, environment: dict[str, str]
) -> None:
    assert callboard("send", "shop:app", "order.placed", "--data", ORDER).returncode == 0
    for arguments in (["info"], ["info", "--json"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        process = subprocess.Popen(
            [sys.executable, "-m", "callboard", *arguments],
            cwd=shop,
            env=environment,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writer)
        _, said = process.communicate(timeout=60)
        assert said == ""
        assert process.returncode == ExitCode.FAILED


def test_routes_are_none_before_a_worker_has_registered_its_own(callboard: Run, shop: Path) -> None:
    assert callboard("send", "shop:app", "order.placed", "--data", ORDER).returncode == 0
    assert json.loads(callboard("routes", "--json").stdout) == []
    assert "callboard run" in callboard("routes").stdout


def test_a_server_is_held_up_until_it_is_interrupted(callboard: Run, start: Start, tmp_path: Path) -> None:
    held = start([sys.executable, "-m", "callboard", "server", "start"])
    wait_for((tmp_path / "out").read_text, "the server's URL")
    status = callboard("server", "status", "--json")
    told = json.loads(status.stdout)
    assert status.returncode == ExitCode.OK
    assert told["running"] is True
    assert (tmp_path / "out").read_text().strip() == told["url"]
    assert Path(told["socket"]).is_socket()
    held.send_signal(signal.SIGINT)
    assert held.wait(60) == 0
    wait_for(lambda: callboard("server").returncode == ExitCode.FAILED, "the end of the server")
    assert set(json.loads(callboard("server", "--json").stdout)) == set(told)
