"""Each way in which a server can fail its clients, made on a real one for as long as a test wants."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.chaos.proxy import Proxy
from tests.servers import COMES_UP_WITHIN, Kind, Server, start_server

USER = "worker"
MANY = 20_000
"""Keys that a server takes long enough to load for somebody to be told that it loads."""

SIGNS = {
    "refused": "(ConnectionError)",
    "cut": "(ConnectionError)",
    "timeout": "(TimeoutError)",
    "loading": "(BusyLoadingError)",
    "readonly": "read only replica",
    "noperm": "does not permit",
    "oom": "the server is full",
    "noscript": "",
}
"""The ways, and what the error of one says; a script that was forgotten is sent again without one."""

OUTAGES = tuple(SIGNS)
IMPATIENT = 0.2
"""Seconds that a client here waits for an answer."""


class Ailing:
    """A server, and what its clients and its operator see of it."""

    def __init__(self, kind: Kind, directory: Path) -> None:
        self._server: Server = start_server(
            kind, directory / "s", "--user", USER, "on", "nopass", "+@all", "~*", "&*"
        )
        upstream = Path(self._server.url.removeprefix("unix://"))
        self._proxy = Proxy(directory / "p.sock", upstream, lambda *_: None)
        self._proxy.start()
        self.operator = redis.Redis.from_url(self._server.url)
        self._ways: dict[str, Callable[[], Callable[[], object]]] = {
            "refused": self._refuse,
            "cut": self._cut,
            "timeout": self._pause,
            "loading": self._load,
            "readonly": lambda: self._tell("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
            "noperm": lambda: self._tell(f"ACL SETUSER {USER} -@all", f"ACL SETUSER {USER} +@all"),
            "oom": lambda: self._tell("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
            "noscript": lambda: self._tell("SCRIPT FLUSH", "PING"),
        }

    def url(self, how: str) -> str:
        """For a client that is to meet one of the ways."""
        url = self._proxy.url if how == "cut" else self._server.url
        return url.replace("//", f"//{USER}@")

    def prepare(self, how: str) -> None:
        """Make ready what takes its time."""
        if how == "loading":
            with self.operator.pipeline(transaction=False) as pipeline:
                for number in range(MANY):
                    pipeline.set(f"ballast {number}", "")
                pipeline.execute()

    @contextmanager
    def failing(self, how: str) -> Iterator[None]:
        """Fail while the context lasts; one that loads may have loaded before."""
        mend = self._ways[how]()
        try:
            yield
        finally:
            mend()

    def close(self) -> None:
        """End the server, however it is."""
        self._proxy.close()
        self.operator.close()
        self._server.resume()
        self._server.kill()

    def _tell(self, make: str, mend: str) -> Callable[[], object]:
        self.operator.execute_command(*make.split())
        return lambda: self.operator.execute_command(*mend.split())

    def _refuse(self) -> Callable[[], object]:
        self._server.stop()
        return self._server.restart

    def _pause(self) -> Callable[[], object]:
        self._server.pause()
        return self._server.resume

    def _cut(self) -> Callable[[], object]:
        for _ in range(1000):
            self._proxy.cut(b"EVALSHA")
        return self._proxy.disarm

    def _load(self) -> Callable[[], object]:
        self._server.stop()
        # Between two commands that it loads it sleeps for a moment, as a server with much data would take.
        restart = threading.Thread(target=self._server.restart, args=("--key-load-delay", "1"))
        restart.start()
        while not self._is_loading():
            assert restart.is_alive(), "it has loaded before anybody could look"
        return restart.join

    def _is_loading(self) -> bool:
        try:
            return not self.operator.ping()
        except redis.ConnectionError as error:
            return isinstance(error, redis.BusyLoadingError)


class Outage:
    """One outage, which a handler may begin and its test ends."""

    def __init__(self, server: Ailing, how: str) -> None:
        server.prepare(how)
        self._server = server
        self._how = how
        self._lasting = ExitStack()
        self._begun = threading.Event()

    @property
    def url(self) -> str:
        """For the client that is to meet it."""
        return self._server.url(self._how)

    def begin(self) -> None:
        """Let the server fail from now on."""
        self._lasting.enter_context(self._server.failing(self._how))
        self._begun.set()

    def end(self) -> None:
        """Let it be well again, once it has begun."""
        assert self._begun.wait(COMES_UP_WITHIN)
        self._lasting.close()

    def met(self, errors: Iterable[str]) -> bool:
        """Whether it is what one of these errors tells of."""
        return any(SIGNS[self._how] in error for error in errors)


def errors_of(event: str, logs: Sequence[Any]) -> list[str]:
    """The errors that came with a line of the logs."""
    return [str(line["error"]) for line in [*logs] if line["event"] == event]
