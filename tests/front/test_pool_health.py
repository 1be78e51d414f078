"""A real pool's health and counts when it is reloaded, stands still, is stuck or has lost its server."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.front.conftest import Run, Start, wait_for
from tests.front.test_metrics import RUN, get, is_ready, send, succeeded
from tests.servers import start_server

SHOP = """
import os, time
from pathlib import Path
from callboard import Callboard, Context, Event

app = Callboard("shop", lease="2s", grace="1s", timeout="500ms")


class OrderPlaced(Event, name="order.placed"):
    order_id: str


@app.actor(queue="orders", timeout="30s")
def note(event: OrderPlaced) -> None:
    if event.order_id == "slow":
        Path("slow").write_text(str(os.getpid()))
        time.sleep(3)


@app.actor(queue="stuck")
def stay(event: OrderPlaced, ctx: Context) -> None:
    if event.order_id == "stuck" and ctx.attempt == 1:
        time.sleep(5)  # in C, where no exception can come in
"""


@pytest.fixture(autouse=True)
def _app(tmp_path: Path, sockets: Path, environment: dict[str, str], address: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    environment["CALLBOARD_METRICS"] = address


def reasons(address: str, path: str) -> str:
    """What a page says is wrong; empty while all is well or nobody answers."""
    return " ".join(json.loads(get(address, path)[1] or '{"reasons": []}')["reasons"])


def test_after_a_reload_counts_begin_anew_and_are_right(
    callboard: Run, start: Start, sockets: Path, address: str, tmp_path: Path
) -> None:
    code, log = tmp_path / "shop.py", tmp_path / "err"
    start([*RUN, "--watch", "."])
    wait_for(is_ready(address), "both processes")
    send(callboard, *map(str, range(50)))
    wait_for(lambda: succeeded(address) == 100, "every success")

    def has_reloaded() -> bool:
        # dramatiq begins to watch some time after its workers are there.
        if "Detected changes" not in log.read_text():
            code.write_text(SHOP + f"# {os.urandom(4).hex()}\n")
        return log.read_text().count("Worker process is ready for action") >= 4

    wait_for(has_reloaded, "a reload")
    wait_for(is_ready(address), "both processes of the new pool")
    assert succeeded(address) == 0
    send(callboard, *map(str, range(50, 80)))
    wait_for(lambda: succeeded(address) == 60, "the successes of the new code")
    assert get(address, "/livez")[0] == 200
    (left,) = sockets.iterdir()
    assert left.name.endswith(".sock")


def test_a_process_that_stands_still_is_told_of_until_it_moves(
    callboard: Run, start: Start, address: str, tmp_path: Path
) -> None:
    start(RUN)
    wait_for(is_ready(address), "both processes")
    send(callboard, "slow")
    wait_for((tmp_path / "slow").exists, "the slow handler")
    pid = int((tmp_path / "slow").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(
            lambda: f"worker process {pid}: has said nothing for" in reasons(address, "/livez"), "silence"
        )
        assert get(address, "/livez")[0] == 503
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: get(address, "/livez")[0] == 200, "it to be heard of again")
    wait_for(lambda: succeeded(address) == 2, "the success, by whoever has it now")


def test_a_stuck_handler_is_told_of_and_the_pool_is_well_when_it_ends(
    callboard: Run, start: Start, address: str
) -> None:
    start(RUN)
    wait_for(is_ready(address), "both processes")
    send(callboard, "stuck")
    wait_for(
        lambda: "1 of its handlers go on after they were" in reasons(address, "/livez"), "the stuck handler"
    )
    assert get(address, "/livez")[0] == 503
    assert get(address, "/readyz")[0] == 200
    wait_for(lambda: get(address, "/livez")[0] == 200, "its end")


def test_a_pool_whose_server_is_away_lives_and_is_not_ready(
    start: Start, address: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    server = start_server("valkey", tmp_path / "server")
    environment["CALLBOARD_URL"] = server.url
    start(RUN)
    wait_for(is_ready(address), "both processes")
    server.stop()
    wait_for(lambda: get(address, "/readyz")[0] == 503, "it to be missed")
    assert server.url.removeprefix("redis://").partition("/")[0] in reasons(address, "/readyz")
    assert get(address, "/livez") == (200, '{"ok":true,"reasons":[]}\n')
    assert get(address, "/metrics")[0] == 200
