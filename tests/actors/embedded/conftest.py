"""A directory, a server in it that is seen to end, and programs that end with the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from callboard.actors.embedded import EmbeddedServer
from tests.actors.embedded.programs import Program, eventually, is_there


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(home)
    yield server
    pid = server.pid()
    server.close()
    if pid is not None:
        eventually(lambda: not is_there(pid), "the server ends")


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def start(code: str, *arguments: object) -> Program:
        programs.append(Program(code, *arguments))
        return programs[-1]

    yield start
    for one in programs:
        one.kill()
