"""The embedded server is there while somebody uses it, and shared by all who do."""

import threading
from collections.abc import Callable
from pathlib import Path

import redis

from callboard.actors.embedded import EmbeddedServer
from callboard.actors.filelocks import Kind, take
from tests.actors.embedded.programs import USER, WITHIN, Program, eventually, is_there, pid_of, read, written

RACE = """
import os, sys
from callboard.actors.embedded import EmbeddedServer
wait, go = os.pipe()
for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        os.close(go)
        os.read(wait, 1)
        server = EmbeddedServer(sys.argv[1])
        server.open()
        os.write(1, b"%d\\n" % server.pid())
        sys.stdin.read()
        os._exit(0)
os.close(go)
sys.stdin.read()
"""

CHURN = """
import os, sys
import redis
from callboard.actors.embedded import EmbeddedServer
for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        server = EmbeddedServer(sys.argv[1])
        for _ in range(int(sys.argv[3])):
            with redis.Redis.from_url(server.open()) as client:
                client.incr("opened")
            server.close()
        os._exit(0)
while True:
    try:
        if os.wait()[1]:
            sys.exit("a user failed")
    except ChildProcessError:
        break
"""

FORK = """
import os, sys
from callboard.actors.embedded import EmbeddedServer
server = EmbeddedServer(sys.argv[1])
server.open()
server._lock.acquire()  # as if another thread were opening it at this moment
if os.fork() == 0:
    sys.stdin.readline()
    server.open()
    print(server.pid(), flush=True)
    sys.stdin.readline()
    os._exit(0)
server._lock.release()
server.close()
print(server.pid(), flush=True)
os._exit(0)
"""


def test_opening_a_directory_starts_a_private_durable_server_in_it(
    home: Path, server: EmbeddedServer
) -> None:
    assert not server.running()
    assert server.pid() is None
    url = server.open()
    assert server.running()
    assert url == server.url == f"unix://{home}/server.sock"
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "server.log").stat().st_size > 0
    with redis.Redis.from_url(url, decode_responses=True) as client:
        wanted = {"port": "0", "appendonly": "yes", "appendfsync": "no", "save": "", "daemonize": "no"}
        wanted |= {"maxmemory-policy": "noeviction"}
        assert client.config_get(*wanted) == wanted


def test_opening_again_changes_nothing(server: EmbeddedServer) -> None:
    server.open()
    pid = server.pid()
    assert server.open() == server.url
    assert server.pid() == pid


def test_threads_may_open_it_at_once(server: EmbeddedServer) -> None:
    pids: list[int | None] = []

    def run() -> None:
        server.open()
        pids.append(server.pid())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 8
    assert len(set(pids)) == 1


def test_the_server_ends_with_its_last_user_and_keeps_the_data_for_the_next(
    home: Path, server: EmbeddedServer, program: Callable[..., Program]
) -> None:
    written(server)
    other = program(USER, home)
    pid = pid_of(server)
    assert other.told("open") == str(pid)
    server.close()
    server.close()
    assert other.told("open") == str(pid)
    other.tell("close")
    eventually(lambda: not is_there(pid), "the server ends")
    assert not (home / "server.sock").exists()
    assert "ready to exit" in (home / "server.log").read_text()
    assert read(server) == b"value"


def test_twenty_processes_that_open_at_once_share_one_server(
    home: Path, program: Callable[..., Program]
) -> None:
    race = program(RACE, home, 20)
    pids = {race.says() for _ in range(20)}
    assert len(pids) == 1
    assert pids == {str(EmbeddedServer(home).pid())}


def test_processes_that_come_and_go_always_find_a_server_with_all_data(
    home: Path, server: EmbeddedServer, program: Callable[..., Program]
) -> None:
    churn = program(CHURN, home, 6, 15)
    assert churn.process.wait(WITHIN * 2) == 0
    assert read(server, "opened") == b"90"


def test_users_that_are_killed_have_left(home: Path, program: Callable[..., Program]) -> None:
    first, second = program(USER, home), program(USER, home)
    pid = int(first.told("open"))
    assert int(second.told("open")) == pid
    first.kill()
    assert int(second.told("open")) == pid
    second.kill()
    eventually(lambda: not is_there(pid), "the server ends")


def test_a_forked_process_is_a_user_until_its_own_end(home: Path, program: Callable[..., Program]) -> None:
    family = program(FORK, home)
    pid = int(family.says())
    family.process.wait(WITHIN)
    assert take(home / "users.lock", Kind.ALONE, lambda: True) is None
    assert int(family.told("open, child")) == pid
    family.tell("end, child")
    eventually(lambda: not is_there(pid), "the server ends")
