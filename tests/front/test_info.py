"""`callboard info`, `routes` and `server`: what is shown of a mailbox, and to whom."""

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from callboard.actors.mailbox.infos import Holder, LaneInfo, MailboxInfo, Pause, QueueInfo
from callboard.cli.exits import ExitCode
from callboard.cli.info import drawn
from tests.front.conftest import Run, Start, wait_for

ORDER = '{"order_id": "A-1"}'


def test_info_has_the_shape_that_its_help_promises(callboard: Run, shop: Path) -> None:
    assert callboard("send", "shop:app", "order.placed", "--data", ORDER).returncode == 0
    told = json.loads(callboard("info", "--json").stdout)
    assert {"workspace", "place", "server", "at", "queues", "workers", "unrouted", "pace"} == set(told)
    figures = {"ready", "leased", "scheduled", "suspects", "accepted", "succeeded", "dead", "discarded"}
    figures |= {"duplicates", "retried", "released", "takeovers", "fenced", "waiting", "lanes", "paused"}
    figures |= {"duplicate", "replayed", "dead_letters"}
    assert [set(queue) for queue in told["queues"]] == [figures | {"queue"}]
    assert told["place"] == str(shop / ".callboard")


def test_a_table_in_a_pipe_keeps_each_queue_on_one_line(callboard: Run, shop: Path) -> None:
    assert callboard("send", "shop:app", "order.placed", "--data", ORDER).returncode == 0
    shown = callboard("info").stdout
    (line,) = [line for line in shown.splitlines() if "orders" in line]
    assert line.split()[:2] == ["orders", "1"]


def test_no_two_columns_of_a_table_have_one_name() -> None:
    out = Console(file=StringIO(), width=300)
    queue = QueueInfo("orders", duplicate=3, duplicates=5)
    for part in drawn(MailboxInfo("default", "memory", 0, (queue,)), "here"):
        out.print(part)
    assert isinstance(out.file, StringIO)
    said = out.file.getvalue()
    assert ("duplicate " in said, "published again" in said, "duplicates" in said) == (True, True, False)


def test_lanes_are_shown_with_who_holds_them_and_how_many_wait() -> None:
    lanes = (
        LaneInfo("send_receipt:A-1", True, 1, 7, 1, (Holder("send_receipt:a", "web-1:42"),)),
        LaneInfo("send_receipt:[B]", True, 1, 6, 1, (Holder("send_receipt:b"),)),
        LaneInfo("charge", False, 2, 5, 2, (Holder("charge:c", "web-1:42"), Holder("charge:d", "web-2:43"))),
        LaneInfo("refund", False, None, 4, 0, ()),
    )
    state = MailboxInfo(
        "default", "memory", 0, (QueueInfo("orders", waiting=22, lanes=lanes), QueueInfo("stock"))
    )
    out = Console(file=StringIO(), width=200)
    for part in drawn(state, "here"):
        out.print(part)
    assert isinstance(out.file, StringIO)
    shown = [line.split() for line in out.file.getvalue().splitlines() if line.strip().startswith("orders")]
    assert shown[0][:3] == ["orders", "0", "22"]
    assert shown[1:] == [
        ["orders", "send_receipt:A-1", "web-1:42", "in", "order", "1", "7"],
        ["orders", "send_receipt:[B]", "send_receipt:b", "(not", "leased)", "in", "order", "1", "6"],
        ["orders", "charge", "web-1:42,", "web-2:43", "2", "2", "5"],
        ["orders", "refund", "-", "0", "4"],
    ]


def test_a_paused_queue_is_shown_with_who_paused_it_when_and_why() -> None:
    paused = Pause(60_000, "ann@desk", "the [bank] is down")
    state = MailboxInfo("default", "memory", 90_000, (QueueInfo("orders", paused=paused), QueueInfo("stock")))
    out = Console(file=StringIO(), width=200)
    for part in drawn(state, "here"):
        out.print(part)
    assert isinstance(out.file, StringIO)
    shown = [line.split() for line in out.file.getvalue().partition("because")[2].splitlines()]
    assert [row for row in shown if row[:1] == ["orders"] or row[:1] == ["stock"]] == [
        ["orders", "30s", "ago", "ann@desk", "the", "[bank]", "is", "down"]
    ]


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
