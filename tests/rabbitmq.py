"""A throw-away RabbitMQ on loopback, with an epmd of its own, both ended by their own process ids."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

COMES_UP_WITHIN = 90.0
_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


@contextmanager
def start_rabbitmq(directory: Path) -> Iterator[str]:
    """The URL of a server that keeps its data in a directory.

    Where there is none the test is skipped, and fails when the environment has CI set.
    """
    epmd = shutil.which("epmd")
    if not _PROGRAM.exists() or epmd is None:
        if os.environ.get("CI"):
            pytest.fail("no RabbitMQ: install rabbitmq-server")
        pytest.skip("no RabbitMQ: install rabbitmq-server")
    amqp, distribution, names = _free_ports(3)
    log = directory / "log"
    environment = os.environ | {
        "HOME": str(directory),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"callboard{amqp}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(log),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(directory / "none"),
    }
    (directory / "plugins").write_text("[].")
    with ExitStack() as held:
        for command in ([epmd, "-address", "127.0.0.1", "-port", str(names)], [str(_PROGRAM)]):
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            held.callback(_end, process)
        _wait_for(amqp, process)
        yield f"amqp://guest:guest@127.0.0.1:{amqp}/?heartbeat=0"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + COMES_UP_WITHIN
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as line:
                line.sendall(b"AMQP\x00\x00\x09\x01")
                if line.recv(1):
                    return
        except OSError:
            if process.poll() is not None or time.monotonic() > give_up_at:
                pytest.fail("RabbitMQ does not come up")
        time.sleep(0.1)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and what it started, which is a session of its own."""
    if process.poll() is None:
        os.killpg(process.pid, 15)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(5)
