"""`callboard server`: the embedded server of a directory, looked at or held up."""

import signal
import threading
from contextlib import closing
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

import msgspec
import redis
from cyclopts import App, Parameter
from msgspec import structs

from ..actors.embedded import EmbeddedServer
from ..actors.mailbox.scripts import named_errors
from ..actors.settings import load_settings
from .exits import ExitCode
from .terminal import AsJson, console, examples, write_json

Home = Annotated[
    Path | None, Parameter(help="The embedded server's directory (CALLBOARD_HOME, else .callboard).")
]

command = App(
    name="server",
    help_epilogue=examples(
        "callboard server",
        "callboard server start --home /var/lib/shop",
        "redis-cli -s $(callboard server --json | jq -r .socket)",
    ),
)


class Status(msgspec.Struct, frozen=True):
    """What is known of the embedded server of a directory."""

    home: str
    running: bool
    pid: int | None
    version: str | None
    url: str
    socket: str
    data_bytes: int


@command.default
@command.command
def status(*, home: Home = None, as_json: AsJson = False) -> int:
    """Show whether the embedded server of a directory runs; exit code 1 when it does not.

    `--json` is an object: `home`, `running`, `pid`, `version`, `url`, `socket`, `data_bytes`; `pid`
    and `version` are null when it does not run.
    """
    server = EmbeddedServer(load_settings(home=home).home)
    pid = server.pid()
    facts = Status(
        home=str(server.home),
        running=pid is not None,
        pid=pid,
        version=None if pid is None else _version(server.url),
        url=server.url,
        socket=unquote(server.url.removeprefix("unix://")),
        data_bytes=_size(server.home / "appendonlydir"),
    )
    if as_json:
        write_json(facts)
    else:
        for name, value in structs.asdict(facts).items():
            shown = f"{value:,}" if name == "data_bytes" else "-" if value is None else value
            console().print(f"{name.replace('_', ' '):<10}  {shown}", highlight=False, soft_wrap=True)
    return ExitCode.FAILED if pid is None else ExitCode.OK


@command.command
def start(*, home: Home = None) -> None:
    """Hold the embedded server of a directory up until Ctrl-C or SIGTERM; prints its URL.

    Others may use it meanwhile; it ends with its last user.
    """
    with closing(EmbeddedServer(load_settings(home=home).home)) as server:
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        url = server.open()
        console().print(url, highlight=False, soft_wrap=True)
        ended.wait()


def _version(url: str) -> str:
    with closing(redis.Redis.from_url(url)) as client, named_errors(url):
        told = client.info("server")
    name = told.get("server_name", "redis")
    return f"{name} {told.get(f'{name}_version', told['redis_version'])}"


def _size(directory: Path) -> int:
    """Bytes of the files in a directory, 0 if there is none."""
    return sum(path.stat().st_size for path in directory.glob("*") if path.is_file())
