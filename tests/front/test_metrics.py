"""A real pool's metrics: right however its processes end, on one address, with nothing left behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from callboard.cli.exits import ExitCode
from tests.front.conftest import Run, Start, wait_for
from tests.programs import needed

SHOP = """
import os, time
from pathlib import Path
from callboard import Callboard, Event

app = Callboard("shop", lease="2s", grace="5s")


class OrderPlaced(Event, name="order.placed"):
    order_id: str


@app.actor(queue="orders")
def note(event: OrderPlaced) -> None:
    if event.order_id == "slow":
        Path("slow").write_text(str(os.getpid()))
        time.sleep(3)
"""

DRAMATIQ = [str(Path(sys.executable).with_name("dramatiq")), "shop:app.broker", "-p", "2", "-t", "2"]
RUN = [sys.executable, "-m", "callboard", "run", "shop:app", "-p", "2", "-t", "2"]


@pytest.fixture(autouse=True)
def _app(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)


@pytest.fixture
def pool(sockets: Path, start: Start, environment: dict[str, str], address: str) -> "subprocess.Popen[str]":
    """A pool that serves its metrics on an address of its own."""
    assert not sockets.exists()
    environment["CALLBOARD_METRICS"] = address
    return start(RUN)


def get(address: str, path: str) -> tuple[int, str]:
    """Status and body of a page; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def value(address: str, name: str, **labels: str) -> float:
    """The sum of a metric's series with these labels."""
    lines = re.findall(rf"^callboard_{name}(?:{{(.*)}})? (\S+)$", get(address, "/metrics")[1], re.MULTILINE)
    wanted = [f'{label}="{said}"' for label, said in labels.items()]
    return sum(float(number) for told, number in lines if all(each in told for each in wanted))


def succeeded(address: str) -> float:
    return value(address, "deliveries_ended_total", result="succeeded")


def send(callboard: Run, *orders: str) -> None:
    lines = "".join(json.dumps({"order_id": order}) + "\n" for order in orders)
    done = callboard("send", "shop:app", "order.placed", "--jsonl", "-", stdin=lines)
    assert done.returncode == 0, done.stderr


def is_ready(address: str) -> Callable[[], bool]:
    return lambda: get(address, "/readyz")[0] == 200 and value(address, "worker_threads") == 4


def test_a_pool_shows_what_all_its_processes_did(callboard: Run, pool: object, address: str) -> None:
    wait_for(is_ready(address), "both processes")
    send(callboard, *map(str, range(500)))
    wait_for(lambda: succeeded(address) == 500, "every success")
    assert value(address, "queue_workers", queue="orders") == 2
    assert value(address, "queue_deliveries") == 0
    assert get(address, "/livez") == (200, '{"ok":true,"reasons":[]}\n')
    text = get(address, "/metrics")[1]
    checked = subprocess.run(
        [needed("promtool", "prometheus"), "check", "metrics"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_dramatiqs_own_command_serves_them_as_well(
    callboard: Run, start: Start, environment: dict[str, str], sockets: Path, address: str
) -> None:
    environment["CALLBOARD_METRICS"] = address
    process = start(DRAMATIQ)
    wait_for(is_ready(address), "both processes")
    send(callboard, "A-1")
    wait_for(lambda: succeeded(address) == 1, "the success")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert list(sockets.iterdir()) == []


def test_a_pool_that_stops_is_seen_until_its_processes_are_gone_and_leaves_nothing(
    callboard: Run, pool: "subprocess.Popen[str]", address: str, sockets: Path, tmp_path: Path
) -> None:
    wait_for(is_ready(address), "both processes")
    send(callboard, "slow")
    wait_for((tmp_path / "slow").exists, "the slow handler")
    pool.send_signal(signal.SIGTERM)
    wait_for(lambda: value(address, "worker_threads") == 2, "the process that has nothing to do to be gone")
    assert pool.wait(60) == ExitCode.OK
    wait_for(lambda: get(address, "/livez")[0] == 0, "the address to be free")
    assert list(sockets.iterdir()) == []


def test_a_killed_process_takes_a_second_of_counts_with_it_and_no_more(
    callboard: Run, pool: "subprocess.Popen[str]", address: str, sockets: Path, tmp_path: Path
) -> None:
    wait_for(is_ready(address), "both processes")
    send(callboard, *map(str, range(200)))
    wait_for(lambda: succeeded(address) == 200, "every success")
    send(callboard, "slow")
    wait_for((tmp_path / "slow").exists, "the slow handler")
    os.kill(int((tmp_path / "slow").read_text()), signal.SIGKILL)
    wait_for(lambda: value(address, "worker_threads") == 2, "the other to be there alone")
    assert succeeded(address) == 200
    # dramatiq ends a pool of which a process has died; what the other did until then is shown.
    assert pool.wait(60) == ExitCode.FAILED
    wait_for(lambda: not list(sockets.iterdir()), "the exporter's end")


def test_a_pool_that_is_killed_as_a_whole_leaves_its_address_to_the_next(
    callboard: Run, start: Start, pool: "subprocess.Popen[str]", address: str, sockets: Path
) -> None:
    wait_for(is_ready(address), "both processes")
    (left,) = sockets.iterdir()
    os.killpg(pool.pid, signal.SIGKILL)
    pool.wait(60)
    assert left.exists()
    start(RUN)
    wait_for(is_ready(address), "the next pool")
    assert not left.exists()
    send(callboard, "A-1")
    wait_for(lambda: succeeded(address) == 1, "the success")


def test_an_address_that_another_pool_has_is_an_error_if_somebody_asked_for_it(
    callboard: Run, pool: object, address: str
) -> None:
    wait_for(is_ready(address), "the first pool")
    for arguments, env in (
        (["--metrics", address], {"CALLBOARD_METRICS": "none"}),
        ([], {"CALLBOARD_METRICS": address}),
    ):
        done = callboard("run", "shop:app", *arguments, env=env)
        assert done.returncode == ExitCode.USAGE, done.stderr
        assert f"metrics cannot be served on {address}" in done.stderr
        assert "`none`" in done.stderr


def test_processes_that_have_no_place_to_meet_are_an_error_if_somebody_asked_for_metrics(
    callboard: Run, sockets: Path, address: str
) -> None:
    sockets.mkdir(mode=0o700)
    sockets.chmod(0o755)
    done = callboard("run", "shop:app", "--metrics", address)
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert f"metrics cannot be served: {sockets} is no directory that only this user can enter" in done.stderr


def test_two_pools_on_one_machine_have_an_address_each(
    callboard: Run, start: Start, pool: object, address: str
) -> None:
    wait_for(is_ready(address), "the first pool")
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        other = f"127.0.0.1:{line.getsockname()[1]}"
    start([*RUN, "--metrics", other])
    wait_for(is_ready(other), "the second pool")
    send(callboard, *map(str, range(300)))
    wait_for(lambda: succeeded(address) + succeeded(other) == 300, "every success, once")
    assert value(address, "queue_workers") == value(other, "queue_workers") == 4


def test_an_address_that_cannot_be_read_is_told(callboard: Run, shop: Path) -> None:
    done = callboard("run", "shop:app", "--metrics", "9191")
    assert done.returncode == ExitCode.USAGE
    assert "--metrics: '9191' is no address" in done.stderr


def test_a_pool_without_metrics_has_no_exporter(
    callboard: Run, start: Start, sockets: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    environment["CALLBOARD_METRICS"] = "none"
    process = start(RUN)
    send(callboard, "slow")
    wait_for((tmp_path / "slow").exists, "the slow handler")
    assert not sockets.exists()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == ExitCode.OK
