"""The server that all sides of a case use, and what is asked of it beside the measurements."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.servers import Kind, start_server

REWRITE_WITHIN = 120.0
"""Seconds the server may take to rewrite its append-only file."""


class Ground:
    """A server of its own for one case, with AOF everysec, on a unix socket."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client: redis.Redis = redis.Redis.from_url(url)

    def clear(self) -> None:
        """Forget everything, and be quiet."""
        self._client.flushall()
        self.settle_down()

    def settle_down(self) -> None:
        """Wait until the server is not busy with its append-only file."""
        deadline = time.monotonic() + REWRITE_WITHIN
        while any(
            self._info("persistence")[f"aof_rewrite_{state}"] for state in ("in_progress", "scheduled")
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server rewrites its file for more than {REWRITE_WITHIN:g} s")
            time.sleep(0.05)

    def commands(self) -> int:
        """Commands the server has done so far, those inside scripts included, this one not yet."""
        return int(self._info("stats")["total_commands_processed"])

    def cpu_seconds(self) -> float:
        """Processor time of the server's own process so far."""
        cpu = self._info("cpu")
        return float(cpu["used_cpu_sys"]) + float(cpu["used_cpu_user"])

    def command_times(self) -> dict[str, dict[str, float]]:
        """Calls and microseconds of every command so far, by its name."""
        return {name.removeprefix("cmdstat_"): times for name, times in self._info("commandstats").items()}

    def version(self) -> str:
        """The server's name and version."""
        server = self._info("server")
        name = server.get("server_name", "redis")
        return f"{name} {server.get(f'{name}_version', server['redis_version'])}"

    def _info(self, section: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.info(section)
        return answer

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


@contextmanager
def open_ground(kind: Kind, *options: str) -> Iterator[Ground]:
    """Start a server in a directory of its own, with further options; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as directory:
        try:
            server = start_server(kind, Path(directory), *options)
        except pytest.skip.Exception as missing:
            raise RuntimeError(str(missing)) from None
        ground = Ground(server.url)
        try:
            yield ground
        finally:
            ground.close()
            # What it would write down on the way out is thrown away with the directory.
            server.kill()
