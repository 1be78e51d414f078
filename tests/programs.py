"""Programs of the system that some tests need."""

import os
import shutil

import pytest


def needed(program: str, package: str) -> str:
    """Where a program is; without it the test is skipped, and fails when the environment has CI set."""
    found = shutil.which(program)
    if found is None:
        missing = f"no {program}: install Debian's package {package}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
