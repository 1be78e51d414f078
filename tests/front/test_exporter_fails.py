"""A pool works on whatever befalls its exporter, says so, and counts all the same as far as it can."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.front.conftest import Run, Start, children_of, wait_for
from tests.front.test_metrics import DRAMATIQ, RUN, SHOP, get, is_ready, send, succeeded

MISSED_SOON = """
from callboard.observability import reporter
reporter.MISSED_AFTER = 1.0
"""


@pytest.fixture(autouse=True)
def _app(tmp_path: Path, sockets: Path, environment: dict[str, str], address: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP + MISSED_SOON)
    environment["CALLBOARD_METRICS"] = address


def exporter_of(pool: "subprocess.Popen[str]") -> int:
    """The process id of a pool's exporter, which it starts last."""
    return children_of(pool)[-1]


def a_file(directory: Path, environment: dict[str, str]) -> str:
    (Path(environment["TMPDIR"]) / f"callboard-{os.geteuid()}").touch()
    return "is no directory that only this user can enter"


def a_long_name(directory: Path, environment: dict[str, str]) -> str:
    environment["TMPDIR"] = str(directory / ("x" * 120))
    Path(environment["TMPDIR"]).mkdir()
    return "no socket can be made at"


@pytest.mark.parametrize("spoil", [a_file, a_long_name])
def test_a_pool_of_dramatiqs_whose_processes_cannot_meet_says_how_to_mend_it_and_works(
    callboard: Run,
    start: Start,
    tmp_path: Path,
    environment: dict[str, str],
    spoil: Callable[[Path, dict[str, str]], str],
) -> None:
    fault = spoil(tmp_path, environment)
    pool = start(DRAMATIQ)
    send(callboard, "slow")
    wait_for((tmp_path / "slow").exists, "the handler")
    log = tmp_path / "err"
    wait_for(lambda: fault in log.read_text(), "the fault")
    pool.send_signal(signal.SIGTERM)
    assert pool.wait(60) == 0
    told = next(line for line in log.read_text().splitlines() if fault in line)
    assert "metrics cannot be served" in told
    assert "set TMPDIR" in told
    assert "Traceback" not in log.read_text()


def test_an_exporter_that_stands_still_for_a_while_loses_nothing(
    callboard: Run, start: Start, address: str, tmp_path: Path
) -> None:
    pool = start(RUN)
    wait_for(is_ready(address), "both processes")
    os.kill(exporter_of(pool), signal.SIGSTOP)
    for begin in (0, 200):
        send(callboard, *map(str, range(begin, begin + 200)))
    send(callboard, "slow")
    wait_for((tmp_path / "slow").exists, "the last of them")
    os.kill(exporter_of(pool), signal.SIGCONT)
    wait_for(lambda: succeeded(address) == 401, "every success, once")
    wait_for(lambda: get(address, "/livez")[0] == 200, "both processes to be heard of")


def test_a_pool_whose_exporter_was_killed_works_and_says_that_it_is_missed(
    callboard: Run, start: Start, address: str, tmp_path: Path
) -> None:
    pool = start(RUN)
    wait_for(is_ready(address), "both processes")
    os.kill(exporter_of(pool), signal.SIGKILL)
    wait_for(lambda: get(address, "/livez") == (0, ""), "whoever asks for its health to be refused")
    send(callboard, "slow")
    wait_for((tmp_path / "slow").exists, "the handler")
    log = tmp_path / "err"
    wait_for(lambda: log.read_text().count("the exporter of this pool is gone") == 2, "a word of each")
    pool.send_signal(signal.SIGTERM)
    assert pool.wait(60) == 0
    assert log.read_text().count("what was counted last is lost") == 2
