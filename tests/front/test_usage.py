"""What the command line says of itself, and of commands that make no sense."""

import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from callboard import __main__ as script
from callboard.cli.exits import MEANINGS, ExitCode, code_of
from callboard.cli.program import COMMANDS
from callboard.messages import errors
from tests.front.conftest import InProcess


def test_the_help_lists_every_command_and_every_exit_code(command: InProcess) -> None:
    answer = command("--help")
    assert answer.code == 0
    assert all(name in answer.out for name in COMMANDS)
    assert all(f"{code.value}: {meaning}" in answer.out for code, meaning in MEANINGS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_examples_of_it(command: InProcess, name: str) -> None:
    answer = command(name, "--help")
    assert answer.code == 0
    assert f"callboard {name}" in answer.out.partition("Examples:")[2]


def test_an_unknown_command_is_wrong_usage_and_the_nearest_is_named(command: InProcess) -> None:
    answer = command("sned")
    assert answer.code == ExitCode.USAGE
    assert "send" in answer.err


def test_an_unknown_option_is_wrong_usage(command: InProcess) -> None:
    answer = command("info", "--jsno")
    assert answer.code == ExitCode.USAGE
    assert "--jsno" in answer.err


@pytest.mark.parametrize(
    "words",
    ["dlq list", "dlq replay", "dlq discard", "event list", "queue pause", "schedule cancel"],
)
def test_no_help_shows_a_default_that_says_nothing(command: InProcess, words: str) -> None:
    said = command(*words.split(), "--help").out
    assert "--url" in said
    assert '""' not in said.replace('"default"', "")


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        ("send shop:app order.placed {}", "callboard send --help"),
        ("trace", "callboard trace --help"),
        ("dlq show", "callboard dlq show --help"),
        ("sned", "callboard --help"),
    ],
)
def test_whoever_uses_a_command_wrongly_is_told_where_its_use_is_shown(
    command: InProcess, words: str, mend: str
) -> None:
    answer = command(*words.split())
    assert (answer.code, answer.out) == (ExitCode.USAGE, "")
    assert answer.err.splitlines()[-1].startswith(f"callboard: {mend} ")


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        ("info shop:app", "callboard info takes no app, only the mailbox's place: --url and --workspace"),
        ("dlq list shop:app", "callboard dlq list takes no app, only the mailbox's place"),
        (
            "run shop:app --url redis://h",
            "callboard run asks the app where its mailbox is: set CALLBOARD_URL",
        ),
        ("run shop:app --workspace=dev", "set CALLBOARD_WORKSPACE, write workspace = ... in callboard.toml"),
        ("send shop:app a.b --home here", "callboard send asks the app where its mailbox is"),
    ],
)
def test_what_another_command_takes_is_told_where_it_belongs(
    command: InProcess, words: str, mend: str
) -> None:
    answer = command(*words.split())
    assert (answer.code, answer.out) == (ExitCode.USAGE, "")
    assert mend in answer.err


def test_without_the_extra_one_line_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = util.find_spec
    monkeypatch.setattr(script, "find_spec", lambda name: None if name == "rich" else found(name))
    assert script.main() == ExitCode.USAGE
    said = capsys.readouterr().err
    assert 'pip install "callboard[cli]"' in said
    assert said.count("\n") == 1


def test_help_loads_neither_the_demo_nor_the_pool() -> None:
    program = (
        "import sys; from callboard.cli.program import run; run(['--help']); "
        "print([name for name in sys.modules if name in ('dramatiq.cli', 'callboard.demo', 'sqlite3')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_error_of_the_project_has_an_exit_code_that_is_documented() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, errors.CallboardError):
            assert code_of(kind.__new__(kind)) in MEANINGS


def test_a_setting_with_a_slip_names_the_nearest(command: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_WORKSPCE", "dev")
    answer = command("info")
    assert answer.code == ExitCode.USAGE
    assert "CALLBOARD_WORKSPACE" in answer.err


def test_looking_where_there_is_no_mailbox_makes_none(command: InProcess, tmp_path: Path) -> None:
    answer = command("info")
    assert answer.code == ExitCode.FAILED
    assert "--home or --url" in answer.err
    assert list(tmp_path.iterdir()) == []
