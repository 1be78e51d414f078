"""Prometheus and promtool, where they are installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def tool(name: str) -> str:
    """The path of a program of Prometheus'.

    Where it is missing the test is skipped, and fails when the environment has CI set.
    """
    found = shutil.which(name)
    if found is None:
        missing = f"no {name}: install prometheus"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end."""
    return subprocess.run(
        [tool("promtool"), *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
