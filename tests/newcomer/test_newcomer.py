"""The newcomer stumbles where a README is wrong, and tells where."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.documents import read

from . import home as homes
from .guide import Guide, Line, Stumble
from .home import Home
from .walk import Walk, expect

README = read("README.md")
WITHIN = 60.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which Callboard is installed already."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return Home(tmp_path, {"HOME": str(tmp_path), "PATH": path, "TERM": "xterm", "CALLBOARD_METRICS": "none"})


def walk_with(home: Home, right: str, wrong: str) -> tuple[Walk, int]:
    """A walk through the README with a mistake planted, and the line of it."""
    assert README.count(right) == 1
    number = 1 + README[: README.index(right)].count("\n")
    return Walk(Guide(README.replace(right, wrong)), home, lambda words: None), number


def test_a_command_that_does_not_exist_is_told_with_its_line(home: Home) -> None:
    walk, number = walk_with(home, "\ncallboard run shop:app\n", "\ncallboard rum shop:app\n")
    with pytest.raises(
        Stumble, match=rf"README\.md:{number + 1}: `callboard rum shop:app` ended with exit code 2"
    ):
        walk.first_page()
    home.await_nothing_running(WITHIN)


def test_an_option_that_does_not_exist_is_told_with_its_line(home: Home) -> None:
    walk, number = walk_with(home, "--processes 2 --threads 16", "--processes 2 --thread-count 16")
    walk.save("shop.py", walk.guide.page("The first page").text)
    with pytest.raises(Stumble, match=rf"README\.md:{number}: .*--thread-count"):
        walk.commands()
    home.await_nothing_running(WITHIN)


def test_an_output_that_differs_is_told_with_its_line(home: Home) -> None:
    walk, number = walk_with(home, "# [False, True]", "# [True, True]")
    walk.save("shop.py", walk.guide.page("The first page").text)
    with pytest.raises(Stumble, match=rf"README\.md:{number}: .*(?s:\[True.*\[False, True\])"):
        walk.second_page()
    home.await_nothing_running(WITHIN)


def test_what_the_readme_does_not_show_any_more_is_told(home: Home) -> None:
    walk, _ = walk_with(home, "`pip install pytest`", "pytest")
    with pytest.raises(Stumble, match="`pip install pytest` is not there any more"):
        walk.in_a_test()


def test_a_line_that_no_step_follows_is_told(home: Home) -> None:
    walk, number = walk_with(home, "## What to read next\n", "```sh\ncallboard dance\n```\n")
    with pytest.raises(Stumble, match="was not followed"):
        walk.end()
    assert Line(number + 1, "callboard dance") in walk.guide.all_commands()


def test_what_is_left_running_is_told_until_it_is_ended(home: Home, tmp_path: Path) -> None:
    with home.open(Line(1, "echo here; exec sleep 1000"), tmp_path) as terminal:
        terminal.until("here", WITHIN)
        with pytest.raises(Stumble, match="sleep 1000"):
            home.await_nothing_running(0)
        terminal.interrupt(WITHIN)
    home.await_nothing_running(WITHIN)


def test_a_line_that_hangs_or_ends_without_its_words_is_told(home: Home, tmp_path: Path) -> None:
    with home.open(Line(7, "sleep 1000"), tmp_path) as terminal:
        with pytest.raises(Stumble, match=r"README\.md:7: `sleep 1000` had not ended after 0 s"):
            terminal.to_its_end(0)
        with pytest.raises(Stumble, match="did not say 'here' within 0 s"):
            terminal.until("here", 0)
    with (
        home.open(Line(8, "echo nobody"), tmp_path) as terminal,
        pytest.raises(Stumble, match="ended without saying 'here':\n    nobody"),
    ):
        terminal.until("here", WITHIN)


def test_nothing_is_inherited_but_the_way_to_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_WORKSPACE", "mine")
    monkeypatch.setenv("PYTHONPATH", "mine")
    monkeypatch.setenv("PIP_TIMEOUT", "7")
    made = Home.made(tmp_path)
    said = made.run(Line(1, "env; command -v python3 callboard pip; true"), tmp_path, WITHIN)
    names = set(re.findall(r"^(\w+)=", said, re.MULTILINE)) - {"PWD", "SHLVL", "_", "OLDPWD"}
    assert {"HOME", "PATH", "LANG", "TERM", "PIP_TIMEOUT"} <= names
    others = names - {"HOME", "PATH", "LANG", "TERM"}
    assert [name for name in others if not name.upper().startswith(homes.FOR_PIP)] == []
    assert said.splitlines()[-1] == str(tmp_path / "bin" / "python3")


def test_what_is_to_be_seen_is_told_from_what_is_not() -> None:
    line = Line(3, "x")
    expect(line, "a.c", "abc")
    with pytest.raises(Stumble, match=r"README\.md:3: `x` should have said 'abc'"):
        expect(line, "abc", "ab")
