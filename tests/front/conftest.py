"""Runs the command line: as a process of its own, and within this one where no server is concerned."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
import structlog

from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.roles import Role
from callboard.cli.program import run
from tests.actors.mailbox.roles import ASKED_IN_VAIN, RolesMailbox, refused_on, role_server, url_as
from tests.servers import Server

SHARED = "URL_OF_A_TEST"
"""By this `command` knows the server on which it is to find a role's place for each command."""

WITHIN = 60.0
"""Seconds for whatever a test waits for."""

SHOP = """
import os
import time
from pathlib import Path

from callboard import Callboard, Context, Event

app = Callboard("shop", lease="2s", grace="5s")


class OrderPlaced(Event, name="order.placed"):
    order_id: str
    total: float = 0.0


@app.contract
class OrderForgotten(Event, name="order.forgotten"):
    order_id: str


@app.contract
class InvoiceDue(Event, name="invoice.due", dedup="number"):
    number: str


@app.actor(queue="orders")
def note(event: OrderPlaced, ctx: Context) -> None:
    with Path("effects").open("a") as effects:
        effects.write(f"{event.order_id} {os.getpid()} {os.getppid()}\\n")
    if event.order_id == "slow":
        time.sleep(60)
"""

_workspaces = count(1)

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]
InProcess = Callable[..., "Answer"]

PUBLISHES = {"send"}
OPERATES = {"dlq replay", "dlq discard", "queue pause", "queue resume", "queue purge", "queue drain"}
OPERATES |= {"schedule cancel", "schedule move"}


class Answer:
    """What a command said and came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


def role_for(arguments: Sequence[str]) -> Role:
    """Whose command it is, as docs/server.md tells them."""
    if arguments[:1] and arguments[0] in PUBLISHES:
        return "publisher"
    return "operator" if " ".join(arguments[:2]) in OPERATES else "reader"


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> Iterator[None]:
    """What a shell runs in its background ignores Ctrl-C, and so would all that is started here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A directory with an app in it, `shop:app`."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of this process without settings of Callboard's, and without what lets output out by itself."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CALLBOARD_") and name != "PYTHONUNBUFFERED"
    }
    return ours | {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "120", "NO_COLOR": "1"}


@pytest.fixture
def address() -> str:
    """An address that is free now."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{line.getsockname()[1]}"


@pytest.fixture
def sockets(environment: dict[str, str]) -> Iterator[Path]:
    """The directory in which the pools of a test meet, short enough for a socket."""
    made = tempfile.mkdtemp(prefix="cb-")
    environment["TMPDIR"] = made
    yield Path(made) / f"callboard-{os.geteuid()}"
    shutil.rmtree(made)


@pytest.fixture
def callboard(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Run a command in the test's directory to its end."""

    def call(
        *arguments: str, stdin: str | bytes = "", env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "callboard", *arguments],
            cwd=tmp_path,
            env=environment | (env or {}),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=WITHIN,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return call


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Start a program in the test's directory; its output goes to files there. Killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(command: Sequence[str], *, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
        with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                env=environment,
                stdin=stdin,
                stdout=out,
                stderr=err,
                text=True,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait(WITHIN)
        if process.stdin is not None:
            process.stdin.close()


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[InProcess]:
    """Run a command in the test's directory, within this process."""
    for name in [name for name in os.environ if name.startswith("CALLBOARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)

    def call(*arguments: str) -> Answer:
        if SHARED in os.environ:
            monkeypatch.setenv("CALLBOARD_URL", url_as(role_for(arguments), os.environ[SHARED]))
        code = run(arguments)
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    yield call
    structlog.reset_defaults()
    for name in set(sys.modules) - known:
        if not name.startswith("callboard"):
            del sys.modules[name]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey set up as committed that tests share; it must have refused nothing to any role."""
    with role_server("valkey", tmp_path_factory.mktemp("front")) as server:
        yield server
        assert [told for told in refused_on(server.url) if told["object"] not in ASKED_IN_VAIN] == []


@pytest.fixture
def board(server: Server, command: InProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisMailbox]:
    """A workspace of its own on a server: where `command` looks, in its role, when it is told no other."""
    workspace = f"front-{os.getpid()}-{next(_workspaces)}"
    monkeypatch.setenv(SHARED, server.url)
    monkeypatch.setenv("CALLBOARD_URL", url_as("reader", server.url))
    monkeypatch.setenv("CALLBOARD_WORKSPACE", workspace)
    mailbox = RolesMailbox(server.url, workspace)
    yield mailbox
    mailbox.close()


def wait_for(thing: Callable[[], object], what: str) -> None:
    """Return when it is so; fail when it is not for too long."""
    give_up_at = time.monotonic() + WITHIN
    while not thing():
        if time.monotonic() > give_up_at:
            pytest.fail(f"not within {WITHIN:g} s: {what}")
        time.sleep(0.02)


def words(path: Path) -> list[list[str]]:
    """The words of each whole line of a file, none while there is no file."""
    text = path.read_text() if path.exists() else ""
    return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]


def children_of(process: "subprocess.Popen[str]") -> list[int]:
    """The ids of the processes that one has started, in their order."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # one that has ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return sorted(pid for pid, parent in parents.items() if parent == process.pid)
