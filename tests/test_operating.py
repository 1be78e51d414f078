"""The page "a failed batch, from alert to replay" is true: its commands are run, and say what it shows."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Block, blocks_of, read
from tests.programs import needed

PAGE = "docs/operating.md"
WITHIN = 60.0
"""Seconds for whatever the test waits for."""


class Shell:
    """Runs lines as an operator types them, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
        path = os.pathsep.join([str(Path(sys.executable).parent), ours.get("PATH", "")])
        self.environment = ours | {"PATH": path, "NO_COLOR": "1", "CALLBOARD_METRICS": "none"}

    def run(self, line: str) -> str:
        """What a line said; fails the test if it did not succeed."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def await_rest(self) -> None:
        """Wait until nothing of any queue is left to do, and a worker is there."""
        deadline = time.monotonic() + WITHIN
        while True:
            told = json.loads(self.run("callboard info --json"))
            live = [
                queue[state]
                for queue in told["queues"]
                for state in ("ready", "leased", "scheduled", "suspects", "waiting")
            ]
            if told["workers"] and not any(live):
                return
            assert time.monotonic() < deadline, told
            time.sleep(0.05)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A directory with the page's files in it, and a worker that runs there."""
    needed("jq", "jq")
    (tmp_path / "shop.py").write_text(blocks_of(read(PAGE), "python")[0].text)
    (tmp_path / "catalog.jsonl").write_text(blocks_of(read(PAGE), "json")[0].text)
    made = Shell(tmp_path)
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            ["callboard", "run", "shop:app", "--processes", "1", "--threads", "1"],
            cwd=tmp_path,
            env=made.environment,
            executable=str(Path(sys.executable).parent / "callboard"),
            stdout=log,
            stderr=log,
        )
        try:
            deadline = time.monotonic() + WITHIN
            while not (tmp_path / ".callboard" / "appendonlydir").is_dir():
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.05)
            yield made
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(WITHIN)


def pattern_of(shown: str) -> re.Pattern[str]:
    """What a shown line stands for: `...` for anything, any blanks for its blanks."""
    parts = [re.escape(part) for part in shown.split()]
    return re.compile(r"\s+".join(parts).replace(re.escape("..."), r".*?").replace(r"\s+.*?\s+", r"\s.*?\s*"))


def steps() -> list[tuple[Block, Block]]:
    """Each block of commands with what it says."""
    blocks = [block for block in blocks_of(read(PAGE)) if block.kind in ("sh", "text")]
    assert [block.kind for block in blocks] == ["sh", "text"] * (len(blocks) // 2)
    return list(zip(blocks[::2], blocks[1::2], strict=True))


def test_an_operator_who_follows_the_page_sees_what_it_shows(shell: Shell) -> None:
    shell.await_rest()
    for commands, shown in steps():
        said = "".join(shell.run(line) for line in commands.text.splitlines())
        for line in shown.text.splitlines():
            assert pattern_of(line).search(said), f"{PAGE}:{shown.line}: {line!r} is not in\n{said}"
        shell.await_rest()


def test_what_a_page_shows_is_told_from_what_it_does_not() -> None:
    assert pattern_of("a ... 2").search("  a   x  y  2 ")
    assert not pattern_of("a ... 2").search("a 3")
    assert pattern_of("imports ... ago 29 days, ... 2").search(" imports  3s ago   29 days, 23:59:01     2 ")
    assert not pattern_of("no dead letters").search("dead letters")
