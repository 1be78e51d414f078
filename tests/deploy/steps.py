"""Follows what docs/deploying.md tells a reader to do first."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.facts import DEPLOY
from tests.documents import blocks_of, read

PAGE = "docs/deploying.md"


def compose_steps() -> list[str]:
    """The lines of the page that make the secrets, and then begin compose."""
    (block,) = [block for block in blocks_of(read(PAGE), "sh") if "docker compose up" in block.text]
    return block.text.splitlines()


def follow_the_page(checkout: Path) -> Path:
    """Make the secrets, word for word, in a checkout of its own; the directory of the compose file."""
    shutil.copytree(DEPLOY, checkout / "deploy", ignore=shutil.ignore_patterns("secrets", "__pycache__"))
    (checkout / "bin").mkdir()
    (checkout / "bin/python").symlink_to(sys.executable)
    done = subprocess.run(
        ["sh", "-eu", "-c", "\n".join(line for line in compose_steps() if not line.startswith("docker"))],
        cwd=checkout,
        env={"PATH": f"{checkout / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return checkout / "deploy/compose"
