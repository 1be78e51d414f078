"""Apps that cannot be loaded, or are none: each is told clearly and is exit code 2."""

from pathlib import Path

import pytest

from callboard.cli.exits import ExitCode
from tests.front.conftest import InProcess


def test_a_module_that_does_not_import_is_shown_with_its_own_lines_alone(
    command: InProcess, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("def prepare():\n    return 1 / 0\n\nprepare()\n")
    answer = command("send", "broken:app", "order.placed", "--data", "{}")
    assert answer.code == ExitCode.USAGE
    assert "ZeroDivisionError" in answer.err
    assert "line 4" in answer.err
    assert "importlib" not in answer.err
    assert "loading.py" not in answer.err


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import callbord", "No module named 'callbord'"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("app = (", "SyntaxError"),
    ],
)
def test_whatever_a_module_raises_is_told(command: InProcess, tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "broken.py").write_text(source)
    answer = command("send", "broken:app", "order.placed", "--data", "{}")
    assert answer.code == ExitCode.USAGE
    assert told in answer.err


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("shopp:app", "did you mean shop?"),
        ("shop:ap", "did you mean shop:app?"),
        ("shop:OrderPlaced", "did you mean shop:app?"),
        ("shop", "did you mean shop:app?"),
        ("shop:app.broker", "name its app, shop:app"),
        ("shop.py", "shop:app"),
        ("./shop.py:app", "shop:app"),
        ("", "module:app"),
        ("shop:", "module:app"),
    ],
)
def test_a_wrong_name_of_an_app_comes_with_the_right_one(
    command: InProcess, shop: Path, target: str, told: str
) -> None:
    answer = command("send", target, "order.placed", "--data", "{}")
    assert answer.code == ExitCode.USAGE
    assert told in answer.err


def test_a_module_without_an_app_is_told_how_to_make_one(command: InProcess, tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    answer = command("send", "empty:app", "order.placed", "--data", "{}")
    assert answer.code == ExitCode.USAGE
    assert 'app = Callboard("shop")' in answer.err


def test_all_faults_of_a_contract_are_told(command: InProcess, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from callboard import Event\nclass Order(Event, name='Order!', version=0):\n    id: str\n"
    )
    answer = command("send", "wrong:app", "order.placed", "--data", "{}")
    assert answer.code == ExitCode.USAGE
    assert "name must be" in answer.err
    assert "version must be" in answer.err
