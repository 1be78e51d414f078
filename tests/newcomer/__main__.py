"""Follows the README of what is committed, with the Python that runs it: `python -m tests.newcomer`."""

import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.documents import ROOT

from .guide import Guide, Stumble
from .home import Home
from .walk import cloned, follow


def main() -> int:
    """0 when all that the README says was so."""
    began = time.monotonic()
    path = Path(tempfile.mkdtemp(prefix="newcomer-")).resolve()
    home = Home.made(path)
    _tell(f"a newcomer with Python {platform.python_version()}")
    try:
        checkout = cloned(ROOT, path / "callboard")
        follow(Guide((checkout / "README.md").read_text("utf-8")), home, checkout, _tell)
    except Stumble as stumble:
        _tell(f"{stumble}\nA newcomer stumbled; the home is left to look at: {path}")
        return 1
    shutil.rmtree(path)
    _tell(f"the README does what it says, in {time.monotonic() - began:.0f} s")
    return 0


def _tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
