"""What the files to deploy with must agree about with the code."""

import inspect
from pathlib import Path

from cyclopts import CycloptsError

from callboard import Callboard
from callboard.actors.settings import DEFAULTS
from callboard.actors.url_file import URL_FILE
from callboard.cli.program import program
from callboard.messages.timing import duration_ms
from callboard.middleware.timeout import LONGEST_TIMEOUT

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

METRICS_PORT = int((DEFAULTS["metrics"] or "").rpartition(":")[2])
"""Where a pool serves its metrics and its health."""

SETTINGS = {f"CALLBOARD_{name.upper()}" for name in DEFAULTS} | {URL_FILE}
"""Every variable that is a setting."""

GRACE = duration_ms(inspect.signature(Callboard).parameters["grace"].default) / 1000

DRAIN = LONGEST_TIMEOUT + 2 * GRACE
"""Seconds in which a pool ends after SIGTERM: a handler may use up its timeout in a worker thread; then there
is one grace for those on the event loop, and one for the last settlements."""


def settings_faults(names: object) -> list[str]:
    """Those of some variables that begin as a setting and are none."""
    assert isinstance(names, list | dict | set)
    ours = sorted(str(name) for name in names if str(name).startswith("CALLBOARD_"))
    return [f"{name} is not a setting" for name in ours if name not in SETTINGS]


def command_faults(words: list[str]) -> list[str]:
    """What the real command line has against the words after `callboard`, without running them."""
    try:
        program(words[0]).parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return [f"callboard {' '.join(words)}: {type(error).__name__}"]
    return []
