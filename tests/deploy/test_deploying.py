"""The page on deploying names files that are there, and its steps are those that the files are made for."""

import re
from pathlib import Path

import pytest

from tests.deploy.facts import DRAIN, ROOT
from tests.deploy.steps import PAGE, follow_the_page
from tests.deploy.test_container import lint
from tests.documents import blocks_of, read

TEXT = read(PAGE)
LINES = [line for block in blocks_of(TEXT, "sh") for line in block.text.splitlines()]


def test_every_path_in_the_commands_of_the_page_is_there() -> None:
    named = {path for line in LINES for path in re.findall(r"(?<![\w/.])deploy/[\w./@-]+", line)}
    named -= {"deploy/compose/secrets"}
    assert len(named) >= 6
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_page_tells_the_time_that_the_files_allow() -> None:
    told = {int(seconds) for seconds in re.findall(r"(?:allows|--stop-timeout) (\d+)", TEXT)}
    assert told == {130}
    assert min(told) >= DRAIN


def test_the_image_of_ones_own_passes_the_linter() -> None:
    (block,) = blocks_of(TEXT, "dockerfile")
    # The base is the image that has just been built, and has no version.
    assert [code for code in lint(block.text) if code != "DL3006"] == []


def test_the_secrets_of_the_page_are_those_that_the_compose_file_mounts(tmp_path: Path) -> None:
    place = follow_the_page(tmp_path / "checkout")
    compose = (ROOT / "deploy/compose/compose.yaml").read_text()
    for name in re.findall(r"file: \./secrets/(\S+)", compose):
        made = place / "secrets" / name
        assert made.stat().st_mode & 0o777 == 0o644
        assert made.stat().st_size > 10
    url = (place / "secrets/worker.url").read_text()
    assert re.fullmatch(r"redis://worker:[\w-]{20,}@valkey:6379/0", url)
    assert (place / "secrets").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("tool", ["docker", "kubectl", "systemctl", "journalctl"])
def test_the_page_shows_how_each_way_is_begun(tool: str) -> None:
    assert any(line.startswith(f"{tool} ") for line in LINES)
