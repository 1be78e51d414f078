"""Programs of the system that some tests need."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def needed(program: str, package: str) -> str:
    """Where a program of the system is; without it the test is skipped or fails."""
    found = shutil.which(program)
    return found or missing(f"no {program}: install Debian's package {package}")


def needed_script(program: str, package: str) -> str:
    """Where a program is that a Python package brings, beside the Python that runs; else as `needed`."""
    found = shutil.which(program, path=os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    return found or missing(f"no {program}: pip install {package}")


def missing(what: str) -> NoReturn:
    """Skip the test for what this machine has not got; fail it where the environment has CI set."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
