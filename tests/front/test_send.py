"""`callboard send`: what is published, what is refused, and what is said of it."""

import gzip
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from callboard import Callboard
from callboard.cli import bodies
from callboard.cli.exits import ExitCode
from callboard.messages.codec import decode_envelope
from callboard.messages.event_options import EventOptions
from tests.front.conftest import InProcess, Run, Start, wait_for
from tests.servers import start_server

SECRET = "hunter2"  # noqa: S105 - it is to be looked for in what is said


def _order(number: int) -> str:
    return json.dumps({"order_id": f"A-{number}", "total": 1.5})


def _ready(callboard: Run) -> int:
    info = json.loads(callboard("info", "--json").stdout)
    return sum(queue["ready"] for queue in info["queues"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["order.place", "--data", "{}"], "did you mean 'order.placed'?"),
        (["order.placed", "--data", "{nope"], "JSON is malformed"),
        (["order.placed", "--data", '{"order_id": 7}'], "`$.order_id`"),
        (["order.placed", "--data", "{}"], "missing required field `order_id`"),
        (["order.placed", "--data", "[" * 100_000], "nested deeper"),
        (["order.placed", "--data", "@nowhere.json"], "nowhere.json cannot be read"),
        (["order.placed"], "--data for one, --jsonl for many"),
        (["order.placed", "--data", "{}", "--jsonl", "-"], "--data for one, --jsonl for many"),
        (["order.placed", "--jsonl", "-", "--dedup-key", "k"], "--dedup-field"),
        (["order.placed", "--data", '{"order_id": "A"}', "--after", "soon"], "5 minutes"),
        (["order.placed", "--data", '{"order_id": "A"}', "--attribute", "colour"], "name=value"),
        (["order.placed", "--data", '{"order_id": "A"}', "--timeout", "2h"], "longest_timeout"),
        (["order.placed", "--data", '{"order_id": "A"}', "--max-attempts", "0"], "counts all starts"),
        (["order.placed", "--jsonl", "-", "--max-age", "0"], "nobody would handle"),
        (["order.placed", "--data", '{"order_id": "A"}', "--dedup-field", "id"], "order_id, total"),
    ],
)
def test_bad_input_is_told_with_its_mend_and_opens_no_mailbox(
    command: InProcess, shop: Path, arguments: list[str], told: str
) -> None:
    answer = command("send", "shop:app", *arguments)
    assert answer.code == ExitCode.USAGE
    assert told in answer.err
    assert not (shop / ".callboard").exists()


def test_an_error_names_the_field_and_never_its_content(command: InProcess, shop: Path) -> None:
    answer = command("send", "shop:app", "order.placed", "--data", json.dumps({"order_id": [SECRET]}))
    assert "`$.order_id`" in answer.err
    assert SECRET not in answer.out + answer.err


def test_one_event_is_published_and_the_receipt_names_its_actors(callboard: Run, shop: Path) -> None:
    done = callboard("send", "shop:app", "order.placed", "--data", "-", "--json", stdin=_order(1))
    assert done.returncode == ExitCode.OK, done.stderr
    receipt = json.loads(done.stdout)
    assert receipt["line"] == 1
    assert receipt["deliveries"] == [{"actor": "note", "duplicate": False}]
    assert _ready(callboard) == 1


def test_a_bad_line_hides_no_other(callboard: Run, shop: Path) -> None:
    lines = [_order(1), "nope", "", _order(2), '{"order_id": 3}', _order(4)]
    with gzip.open(shop / "orders.gz", "wt") as file:
        file.write("\ufeff" + "\r\n".join(lines))
    done = callboard("send", "shop:app", "order.placed", "--jsonl", "orders.gz")
    assert done.returncode == ExitCode.USAGE
    assert "line 2: order.placed: JSON is malformed" in done.stderr
    assert "line 5: order.placed: Expected `str`" in done.stderr
    assert done.stdout.startswith("3 events accepted, 3 deliveries, 2 refused")
    assert _ready(callboard) == 3


def test_the_same_file_again_makes_duplicates_by_a_field(callboard: Run, shop: Path) -> None:
    (shop / "orders.jsonl").write_text("\n".join(_order(number) for number in range(1200)))
    arguments = ("send", "shop:app", "order.placed", "--jsonl", "orders.jsonl", "--dedup-field", "order_id")
    first, second = callboard(*arguments), callboard(*arguments)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "duplicates" not in first.stdout
    assert "1,200 of them duplicates" in second.stdout
    assert _ready(callboard) == 1200


def test_events_are_published_while_more_are_still_coming(start: Start, shop: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "callboard",
        "send",
        "shop:app",
        "order.placed",
        "--jsonl",
        "-",
        "--json",
    ]
    process = start(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write("".join(f"{_order(number)}\n" for number in range(1000)))
    process.stdin.flush()
    wait_for((shop / "out").read_text, "receipts before the end of the input")
    process.stdin.write(f"{_order(1000)}\n")
    process.stdin.close()
    assert process.wait(60) == 0
    assert len((shop / "out").read_text().splitlines()) == 1001


def test_when_the_server_goes_away_it_is_told_what_is_stored(
    start: Start, shop: Path, environment: dict[str, str]
) -> None:
    server = start_server("valkey", shop / "s")
    environment["CALLBOARD_URL"] = server.url
    arguments = ["send", "shop:app", "order.placed", "--jsonl", "-", "--json"]
    process = start([sys.executable, "-m", "callboard", *arguments], stdin=subprocess.PIPE)
    try:
        assert process.stdin is not None
        process.stdin.write("".join(f"{_order(number)}\n" for number in range(500)))
        process.stdin.flush()
        wait_for(lambda: "\n" in (shop / "out").read_text(), "the first receipt")
    finally:
        server.kill()
    process.stdin.write(f"{_order(500)}\n")
    process.stdin.close()
    assert process.wait(60) == ExitCode.UNREACHABLE
    said = (shop / "err").read_text()
    assert "all up to line 500 is stored; from line 501 to 501 some may be" in said
    assert server.url.removeprefix("unix://") in said


def test_a_line_without_end_is_refused_and_the_next_is_read(
    command: InProcess, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "LONGEST_BODY", 100)
    long = json.dumps({"order_id": "x" * 1000})
    (shop / "orders.jsonl").write_text(f"{long}\n{_order(2)}\n{long}")
    answer = command("send", "shop:app", "order.placed", "--jsonl", "orders.jsonl", "--dry-run")
    assert answer.code == ExitCode.USAGE
    assert "line 1: it is longer than" in answer.err
    assert "line 3: it is longer than" in answer.err
    assert "1 events are well, 2 are not" in answer.out


def test_a_dry_run_checks_all_and_publishes_nothing(command: InProcess, shop: Path) -> None:
    (shop / "orders.jsonl").write_text(f"{_order(1)}\n{json.dumps({'order_id': 'x' * 300_000})}\n")
    answer = command("send", "shop:app", "order.placed", "--jsonl", "orders.jsonl", "--dry-run")
    assert answer.code == ExitCode.USAGE
    assert "line 2: order.placed: the event has" in answer.err
    assert "nothing was published" in answer.out
    assert not (shop / ".callboard").exists()


def test_a_dry_run_refuses_what_publishing_would_refuse(command: InProcess, shop: Path) -> None:
    (shop / "invoices.jsonl").write_text('{"number": "7"}\n{"number": ""}\n')
    answer = command("send", "shop:app", "invoice.due", "--jsonl", "invoices.jsonl", "--dry-run")
    assert answer.code == ExitCode.USAGE
    assert "line 2: invoice.due, key from number: a key cannot be empty" in answer.err
    assert "1 events are well, 1 are not; nothing was published" in answer.out
    assert not (shop / ".callboard").exists()


def test_a_torn_archive_is_told_after_what_could_be_read_of_it(command: InProcess, shop: Path) -> None:
    whole = gzip.compress(f"{_order(1)}\n".encode())
    (shop / "torn.gz").write_bytes(whole[:-4])
    answer = command("send", "shop:app", "order.placed", "--jsonl", "torn.gz", "--dry-run")
    assert answer.code == ExitCode.USAGE
    assert "torn.gz cannot be unpacked" in answer.err


def test_an_event_that_nobody_subscribes_to_is_not_called_done(callboard: Run, shop: Path) -> None:
    done = callboard("send", "shop:app", "order.forgotten", "--data", _order(1))
    assert done.returncode == ExitCode.FAILED
    assert "nobody subscribes" in done.stdout


def test_options_of_publishing_reach_the_event(callboard: Run, shop: Path) -> None:
    done = callboard(
        "send",
        "shop:app",
        "order.placed",
        "--data",
        _order(1),
        "--after",
        "1 hour",
        "--attribute",
        "from=test",
    )
    assert done.returncode == ExitCode.OK, done.stderr
    queues = json.loads(callboard("info", "--json").stdout)["queues"]
    assert [(queue["queue"], queue["scheduled"], queue["ready"]) for queue in queues] == [("orders", 1, 0)]


def test_what_is_said_of_its_attempts_reaches_the_worker(command: InProcess, shop: Path) -> None:
    said = ["--timeout", "30s", "--max-attempts", "3", "--give-up-after", "2 days", "--max-age", "5h"]
    done = command("send", "shop:app", "order.placed", "--data", _order(1), *said)
    assert done.code == ExitCode.OK, done.err
    with closing(Callboard("reader", home=shop / ".callboard")) as app:
        (delivery,) = app.mailbox.fetch("orders", 1, owner="test", lease_ms=1000).deliveries
    carried = decode_envelope(delivery.body).options
    assert carried == EventOptions(30_000, 3, 2 * 86_400_000, 5 * 3_600_000)


def test_a_server_that_is_not_there_is_named_without_its_password(callboard: Run, shop: Path) -> None:
    url = {"CALLBOARD_URL": f"redis://:{SECRET}@127.0.0.1:1/0"}
    done = callboard("send", "shop:app", "order.placed", "--data", _order(1), env=url)
    assert done.returncode == ExitCode.UNREACHABLE
    assert "127.0.0.1:1" in done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("info",), ("routes",), ("run", "shop:app")])
def test_a_wrong_password_is_a_mailbox_that_refuses(
    callboard: Run, shop: Path, arguments: tuple[str, ...]
) -> None:
    server = start_server("valkey", shop / "server", "--requirepass", "right")
    try:
        url = f"unix://:{SECRET}@{server.url.removeprefix('unix://')}"
        done = callboard(*arguments, env={"CALLBOARD_URL": url})
    finally:
        server.stop()
    assert done.returncode == ExitCode.UNREACHABLE
    assert "check its name and password" in done.stderr
    assert SECRET not in done.stdout + done.stderr
