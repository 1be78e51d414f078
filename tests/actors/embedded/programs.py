"""Programs that use an embedded server, and ways to see what became of one."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable

import redis

from callboard.actors.embedded import EmbeddedServer

WITHIN = 30.0

USER = """
import sys
from callboard.actors.embedded import EmbeddedServer
server = EmbeddedServer(sys.argv[1])
for line in sys.stdin:
    getattr(server, line.strip())()
    print(server.pid(), flush=True)
"""


def eventually(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not is_so():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.005)


def is_there(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def parent_of(pid: int) -> int:
    return int(subprocess.check_output(["ps", "-o", "ppid=", "-p", str(pid)]))


def pid_of(server: EmbeddedServer) -> int:
    pid = server.pid()
    assert pid is not None
    return pid


class Program:
    """A process that runs some code, is told lines and answers with lines."""

    def __init__(self, code: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def told(self, line: str) -> str:
        self.tell(line)
        return self.says()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def written(server: EmbeddedServer, name: str = "key", value: str = "value") -> None:
    with redis.Redis.from_url(server.open()) as client:
        client.set(name, value)


def read(server: EmbeddedServer, name: str = "key") -> object:
    with redis.Redis.from_url(server.open()) as client:
        return client.get(name)
