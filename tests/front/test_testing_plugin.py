"""The pytest plugin: costs nothing where it is not wanted, gives a stage where it is, tells of failures."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.documents import blocks_of, read

ROOT = Path(__file__).parents[2]

SHOP = """
from callboard import Callboard, Context, Event

app = Callboard("shop", url="redis://127.0.0.1:1/0")

class OrderPlaced(Event, name="order.placed", key="order_id"):
    order_id: str

@app.actor
def send_receipt(event: OrderPlaced, ctx: Context) -> None:
    if event.order_id == "bad":
        raise ConnectionError("down")
"""

SETTINGS = "[pytest]\ncallboard_app = shop:app\npythonpath = .\n"


def run_pytest(
    directory: Path, test: str, *, settings: str = SETTINGS, shop: str = SHOP, ini: str = "pytest.ini"
) -> str:
    """Run pytest on a test in a directory with a shop; what it said."""
    (directory / "shop.py").write_text(shop)
    (directory / ini).write_text(settings)
    (directory / "test_shop.py").write_text(test)
    command = (sys.executable, "-W", "error", "-m", "pytest", "-p", "pytest_callboard", "-q", "--color=no")
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_package_names_the_plugin_to_pytest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    # The name is the module's, so that `-p pytest_callboard` does not register it a second time.
    assert project["entry-points"]["pytest11"] == {"pytest_callboard": "pytest_callboard"}


def test_the_plugin_imports_nothing_of_the_package_where_no_test_uses_it(tmp_path: Path) -> None:
    test = (
        "import sys\n"
        "def test_nothing() -> None:\n"
        "    assert 'pytest_callboard' in sys.modules\n"
        "    known = {name.partition('.')[0] for name in sys.modules}\n"
        "    assert not known & {'callboard', 'dramatiq', 'msgspec', 'redis', 'structlog'}\n"
    )
    assert "1 passed" in run_pytest(tmp_path, test, settings="[pytest]\n")


def test_the_fixture_plays_the_app_that_the_settings_name(tmp_path: Path) -> None:
    test = (
        "import shop\n"
        "def test_a_receipt_is_sent(stage) -> None:\n"
        "    shop.app.publish(shop.OrderPlaced('A'))\n"
        "    stage.run()\n"
        "    assert stage.outcomes('send_receipt') == ['succeeded']\n"
        "def test_the_next_test_begins_empty(stage) -> None:\n"
        "    assert stage.counts == {}\n"
    )
    assert "2 passed" in run_pytest(tmp_path, test)


def test_the_fixture_works_as_the_document_shows(tmp_path: Path) -> None:
    page = read("docs/testing.md")
    (settings,) = blocks_of(page, "toml")
    shown = blocks_of(page, "python")
    (test,) = [block.text for block in shown if block.reason is not None]
    (first_line,) = re.findall(r"`(from shop import .+?)`", page)
    test = "\n".join((first_line, shown[1].text, test))
    said = run_pytest(tmp_path, test, settings=settings.text, shop=shown[0].text, ini="pyproject.toml")
    assert "2 passed" in said


def test_a_fixture_of_the_tests_own_may_give_the_app(tmp_path: Path) -> None:
    test = (
        "import pytest, shop\n"
        "@pytest.fixture\n"
        "def callboard_app():\n"
        "    return shop.app\n"
        "def test_it(stage) -> None:\n"
        "    assert stage.app is shop.app\n"
    )
    assert "1 passed" in run_pytest(tmp_path, test, settings="[pytest]\npythonpath = .\n")


def test_without_an_app_the_fixture_says_what_to_set(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, "def test_it(stage) -> None: ...\n", settings="[pytest]\n")
    assert "1 error" in said
    assert 'set callboard_app = "module:app"' in said


@pytest.mark.parametrize(
    ("target", "words"), [("shopp:app", "there is no module shopp"), ("shop:ap", "did you mean shop:app?")]
)
def test_an_app_that_cannot_be_found_is_told_with_its_mend(target: str, words: str, tmp_path: Path) -> None:
    settings = f"[pytest]\npythonpath = .\ncallboard_app = {target}\n"
    said = run_pytest(tmp_path, "def test_it(stage) -> None: ...\n", settings=settings)
    assert "1 error" in said
    assert words in said


def test_a_failure_tells_what_happened_on_the_stage(tmp_path: Path) -> None:
    test = (
        "import shop\n"
        "def test_it(stage) -> None:\n"
        "    stage.expect(ConnectionError)\n"
        "    shop.app.publish(shop.OrderPlaced('bad'))\n"
        "    stage.run()\n"
        "    assert stage.outcomes() == ['succeeded']\n"
    )
    said = run_pytest(tmp_path, test)
    assert "1 failed" in said
    assert "Callboard's stage" in said
    assert "<Stage of shop at 2030-01-01 00:00:00: accepted=1 retried=1 scheduled=1>" in said
    assert "after ConnectionError('down'), OrderPlaced(order_id='bad')>" in said


def test_an_unexpected_error_is_shown_in_the_handler_with_what_to_say(tmp_path: Path) -> None:
    test = (
        "import shop\n"
        "def test_it(stage) -> None:\n"
        "    shop.app.publish(shop.OrderPlaced('bad'))\n"
        "    stage.run()\n"
    )
    said = run_pytest(tmp_path, test)
    assert "shop.py:12: ConnectionError" in said
    assert "stage.expect(ConnectionError)" in said
