"""However many processes race for a key, it is completed once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Server

ROOT = Path(__file__).parents[3]
PROCESSES, KEYS = 32, 1000


@pytest.mark.parametrize("kind", ["valkey", "redis_server"])
def test_thirty_two_processes_give_each_of_a_thousand_keys_its_effect_exactly_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue(kind)
    effects = tmp_path / "effects"
    command = [
        *(sys.executable, "-m", "tests.middleware.dedup.race"),
        *(server.url, str(PROCESSES), str(KEYS), str(effects)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0] * PROCESSES, done.stderr
    lines = [line.split() for line in effects.read_text().splitlines()]
    keys, fences, pids = zip(*lines, strict=True)
    assert sorted(keys) == sorted(f"key-{number}" for number in range(KEYS))
    assert len(set(fences)) == KEYS
    assert len(set(pids)) > 1
