"""The documents keep their word: what they show runs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callboard.actors.settings import load_settings
from tests.documents import (
    NAMES,
    Block,
    blocks_of,
    code_of,
    program_in,
    read,
)

WITHIN = 60.0
"""Seconds for whatever a test waits for."""

RUNNER = """
import sys
exec(compile(sys.stdin.read(), sys.argv[1], "exec"), globals())
tests = [value for name, value in list(globals().items()) if name.startswith("test_")]
for test in tests:
    test()
print("ran", len(tests))
"""
"""Runs a program as the main one, and then the tests that it defines."""


class Directory:
    """An empty directory to run programs in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
        self._environment = ours | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}

    def python(self, *arguments: str, stdin: str = "") -> str:
        """Run Python to its end; what it said."""
        done = subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            cwd=self.path,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Path]:
        """Run Python meanwhile, ended as an operator would end it; the file that it writes to."""
        command = [sys.executable, *arguments]
        log = self.path / "said"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.path, env=self._environment, stdout=output, stderr=output
            )
            try:
                yield log
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(WITHIN)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """An empty directory."""
    return Directory(tmp_path)


@pytest.mark.parametrize("name", [name for name in NAMES if program_in(name)])
def test_the_python_of_a_document_runs_from_top_to_bottom(name: str, directory: Directory) -> None:
    said = directory.python("-W", "error", "-c", RUNNER, name, stdin=program_in(name))
    tests = re.findall(r"^def test_", program_in(name), re.MULTILINE)
    assert said.splitlines()[-1] == f"ran {len(tests)}"


def test_all_python_in_the_readme_is_run() -> None:
    blocks = blocks_of(read("README.md"), "python")
    assert len(blocks) >= 3
    assert [block.line for block in blocks if block.reason is not None] == []


def test_blocks_are_found_with_their_lines_and_reasons() -> None:
    text = "# A\n\n```python\nx = 1\n```\n\n<!-- not run: needs a bank -->\n```python\npay()\n```\n"
    assert blocks_of(text) == [
        Block("python", "x = 1\n", 4, None),
        Block("python", "pay()\n", 9, "needs a bank"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_whoever_says_not_run_gives_a_reason_at_a_block(name: str) -> None:
    reasons = [block.reason for block in blocks_of(read(name)) if block.reason is not None]
    assert read(name).count("<!-- not run") == len(reasons)


STARTS = ("callboard run shop:app", "dramatiq shop:app.broker")


@pytest.mark.parametrize("command", STARTS)
def test_the_first_page_works_as_the_readme_says(command: str, directory: Directory) -> None:
    assert command in code_of("README.md")
    (directory.path / "shop.py").write_text(blocks_of(read("README.md"), "python")[0].text)
    with directory.running("-m", *command.split(), "--processes", "1") as log:
        directory.python("-W", "error", "shop.py")
        assert "A-1" in wait_for("sending", log)
        queue = await_success(directory)
    assert (queue["succeeded"], queue["scheduled"]) == (1, 1)


def wait_for(words: str, log: Path) -> str:
    """What a program has said by the time it says these words."""
    deadline = time.monotonic() + WITHIN
    while words not in (said := log.read_text("utf-8", "replace")):
        assert time.monotonic() < deadline, f"{words!r} was not said:\n{said}"
        time.sleep(0.02)
    return said


def await_success(directory: Directory) -> dict[str, int]:
    """What `callboard info` says of the only queue once something has succeeded."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        queue: dict[str, int]
        (queue,) = json.loads(directory.python("-m", "callboard", "info", "--json"))["queues"]
        if queue["succeeded"]:
            return queue
    pytest.fail("nothing has succeeded")


def test_the_settings_that_the_readme_shows_are_settings(tmp_path: Path) -> None:
    (block,) = blocks_of(read("README.md"), "toml")
    (tmp_path / "callboard.toml").write_text(block.text)
    settings = load_settings(environ={}, directory=tmp_path)
    assert (settings.url, settings.workspace) == tuple(tomllib.loads(block.text).values())
