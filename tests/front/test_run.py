"""`callboard run`, and dramatiq's own command: pools that start, end, reload, or say why they cannot."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callboard.cli.exits import ExitCode
from tests.front.conftest import SHOP, Run, Start, wait_for, words
from tests.servers import start_server

DRAMATIQ = [str(Path(sys.executable).with_name("dramatiq")), "shop:app.broker", "-p", "1", "-t", "2"]
RUN = [sys.executable, "-m", "callboard", "run", "shop:app", "-p", "1", "-t", "2"]


def _send(callboard: Run, order: str) -> None:
    done = callboard("send", "shop:app", "order.placed", "--data", f'{{"order_id": "{order}"}}')
    assert done.returncode == 0, done.stderr


def _await_effect(shop: Path, order: str) -> tuple[int, int]:
    """The process ids of the worker that handled an order, and of its parent."""

    def found() -> list[list[str]]:
        return [effect for effect in words(shop / "effects") if effect[0] == order]

    wait_for(found, f"the effect of {order}; stderr: {(shop / 'err').read_text()}")
    _, pid, parent = found()[0]
    return int(pid), int(parent)


def _errors(shop: Path) -> str:
    return (shop / "err").read_text()


@pytest.mark.parametrize("pool", [RUN, DRAMATIQ])
def test_a_pool_handles_events_and_ends_well_when_asked(
    callboard: Run, start: Start, shop: Path, pool: list[str]
) -> None:
    process = start(pool)
    _send(callboard, "A-1")
    _await_effect(shop, "A-1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == ExitCode.OK, _errors(shop)


def test_the_console_script_is_the_same_command(environment: dict[str, str], shop: Path) -> None:
    script = shutil.which("callboard", path=str(Path(sys.executable).parent))
    assert script is not None
    done = subprocess.run(
        [script, "run", "shop:ap"], cwd=shop, env=environment, capture_output=True, check=False
    )
    assert done.returncode == ExitCode.USAGE
    assert b"did you mean shop:app?" in done.stderr


def test_ctrl_c_waits_for_the_handler_and_a_second_one_does_not(
    callboard: Run, start: Start, shop: Path
) -> None:
    process = start(RUN)
    _send(callboard, "slow")
    _await_effect(shop, "slow")
    # A terminal sends it to the whole group.
    os.killpg(process.pid, signal.SIGINT)
    wait_for(lambda: "Shutting down..." in _errors(shop), "the graceful end")
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == ExitCode.FAILED


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_pool_that_loses_a_worker_ends_as_failed(
    callboard: Run, start: Start, shop: Path, by: signal.Signals
) -> None:
    process = start(RUN)
    _send(callboard, "A-1")
    worker, _ = _await_effect(shop, "A-1")
    os.kill(worker, by)
    assert process.wait(30) == ExitCode.FAILED


@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_pool_writes_json_lines_on_a_pipe(callboard: Run, start: Start, shop: Path, level: str) -> None:
    process = start([*RUN, "--log-level", level])
    _send(callboard, "A-1")
    _await_effect(shop, "A-1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == ExitCode.OK, _errors(shop)
    lines = [json.loads(line) for line in _errors(shop).splitlines()]
    told = {line["event"]: line for line in lines}
    assert "Worker process is ready for action." in told
    assert ("succeeded" in told) == (level == "debug")
    if level == "debug":
        assert (told["succeeded"]["event_name"], told["succeeded"]["attempt"]) == ("order.placed", 1)


def test_only_workers_import_the_app(callboard: Run, start: Start, shop: Path) -> None:
    noting = "import os, pathlib\nwith pathlib.Path('imports').open('a') as f: print(os.getpid(), file=f)\n"
    (shop / "shop.py").write_text(noting + SHOP)
    process = start(RUN)
    _send(callboard, "A-1")
    worker, parent = _await_effect(shop, "A-1")
    assert parent == process.pid
    importers = [int(pid) for (pid,) in words(shop / "imports")]
    assert worker in importers
    assert process.pid not in importers


def test_a_pool_says_what_it_works_on(environment: dict[str, str], start: Start, shop: Path) -> None:
    environment["CALLBOARD_WORKSPACE"] = "dev-ann"
    process = start(RUN)
    wait_for(lambda: "ready for action" in _errors(shop), "a worker that is ready")
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    lines = [json.loads(line) for line in _errors(shop).splitlines()]
    (told,) = [line for line in lines if line["event"] == "a worker pool starts"]
    assert (told["app"], told["workspace"], told["queues"]) == ("shop:app", "dev-ann", ["orders"])
    assert told["mailbox"] == str(shop / ".callboard")


def test_a_change_in_a_watched_directory_reloads_the_pool(callboard: Run, start: Start, shop: Path) -> None:
    process = start([*RUN, "--watch", "."])
    _send(callboard, "A-1")
    before, _ = _await_effect(shop, "A-1")
    changed = SHOP.replace('f"{event.order_id} ', 'f"new-{event.order_id} ')

    def has_reloaded() -> bool:
        # dramatiq begins to watch some time after its workers are there.
        if "Detected changes" not in _errors(shop):
            (shop / "shop.py").write_text(changed)
        return _errors(shop).count("Worker process is ready for action") >= 2

    wait_for(has_reloaded, "a reload")
    _send(callboard, "A-2")
    after, parent = _await_effect(shop, "new-A-2")
    assert after != before
    assert parent == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == ExitCode.OK, _errors(shop)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["shop:app", "-Q", "order"], ExitCode.USAGE, "did you mean orders?"),
        (["shop:app", "-p", "0"], ExitCode.USAGE, ">= 1"),
        (["shop:app", "--watch", "nowhere"], ExitCode.USAGE, "nowhere"),
        (["faulty:app"], ExitCode.USAGE, "call app.provide(Path, ...)"),
        (["faulty:app"], ExitCode.USAGE, "which is for exactly one actor"),
        (["faulty:empty"], ExitCode.USAGE, "it has no actors"),
        (["faulty:memory"], ExitCode.USAGE, "MemoryMailbox"),
        (["faulty:far"], ExitCode.UNREACHABLE, "redis://127.0.0.1:1"),
    ],
)
def test_what_cannot_work_is_told_before_any_worker_starts(
    callboard: Run, shop: Path, arguments: list[str], code: ExitCode, told: str
) -> None:
    (shop / "faulty.py").write_text(FAULTY)
    done = callboard("run", *arguments)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "booting up" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_would_lose_deliveries_is_refused(callboard: Run, shop: Path) -> None:
    server = start_server("valkey", shop / "s", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    try:
        done = callboard("run", "shop:app", env={"CALLBOARD_URL": server.url})
    finally:
        server.stop()
    assert done.returncode == ExitCode.USAGE
    assert "set maxmemory-policy to noeviction" in done.stderr


@pytest.mark.parametrize("pool", [RUN, DRAMATIQ])
def test_a_server_that_keeps_nothing_stops_a_pool_until_it_is_forced(
    environment: dict[str, str], callboard: Run, start: Start, shop: Path, pool: list[str]
) -> None:
    server = start_server("valkey", shop / "s", "--appendonly", "no")
    environment["CALLBOARD_URL"] = server.url
    try:
        done = subprocess.run(pool, cwd=shop, env=environment, capture_output=True, timeout=60, check=False)
        assert done.returncode != 0
        assert b"set appendonly to yes and appendfsync to everysec" in done.stderr
        assert b"callboard run --force, or CALLBOARD_FORCE=true" in done.stderr
        environment |= {"CALLBOARD_FORCE": "true"} if pool is DRAMATIQ else {}
        process = start(pool if pool is DRAMATIQ else [*pool, "--force"])
        environment |= {"CALLBOARD_FORCE": "true"}
        _send(callboard, "A-1")
        _await_effect(shop, "A-1")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == ExitCode.OK, _errors(shop)
    finally:
        server.stop()
    assert "nothing-kept" in _errors(shop)


FAULTY = """
from pathlib import Path
from callboard import Callboard, Command, MemoryMailbox

app = Callboard("faulty")
empty = Callboard("empty")
memory = Callboard("memory", mailbox=MemoryMailbox())
far = Callboard("far", url="redis://127.0.0.1:1")

class Pay(Command, name="pay"):
    order_id: str

@app.actor
def one(event: Pay, path: Path) -> None: ...

@app.actor
def two(event: Pay) -> None: ...

@memory.actor(name="three")
def three(event: Pay) -> None: ...

@far.actor(name="four")
def four(event: Pay) -> None: ...
"""
