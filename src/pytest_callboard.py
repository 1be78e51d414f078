"""The pytest plugin: the fixture `stage`, and what happened on it beside a failure.

pytest imports this module at every start, whether or not a test wants a stage. So it stands outside of the
package, whose import takes longer than many a test run, and imports it when a test asks for it.
"""

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from callboard import Callboard
    from callboard.testing import Stage


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting that names the app."""
    parser.addini("callboard_app", "the app that the fixture `stage` plays, as module:app")


@pytest.fixture
def callboard_app(request: pytest.FixtureRequest) -> "Callboard":
    """The app of the setting `callboard_app`; redefine this fixture to take another."""
    target: str = request.config.getini("callboard_app")
    if not target:
        pytest.fail(
            'the fixture `stage` needs an app: set callboard_app = "module:app" in pytest\'s settings, or '
            "define a fixture `callboard_app` that returns it",
            pytrace=False,
        )
    from callboard.cli.loading import load_app  # noqa: PLC0415 - see above
    from callboard.messages.errors import ConfigurationError  # noqa: PLC0415 - see above

    try:
        return load_app(target)
    except ConfigurationError as error:
        pytest.fail(f"callboard_app: {error}", pytrace=False)


@pytest.fixture
def stage(callboard_app: "Callboard") -> Generator["Stage", None, None]:
    """The app on a mailbox in memory, with a clock that moves only when told to."""
    from callboard.testing import Stage  # noqa: PLC0415 - see above

    with Stage(callboard_app) as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell beside a failure what happened on the stage."""
    report = yield
    if report.when == "call" and report.failed and "callboard.testing" in sys.modules:
        report.sections += [("Callboard's stage", story) for story in _stories_of(item)]
    return report


def _stories_of(item: pytest.Item) -> list[str]:
    """What happened on the stages that a test was given."""
    from callboard.testing import Stage  # noqa: PLC0415 - imported already

    fixtures: dict[str, object] = getattr(item, "funcargs", {})
    return [f"{made!r}\n{made.story()}" for made in fixtures.values() if isinstance(made, Stage)]
