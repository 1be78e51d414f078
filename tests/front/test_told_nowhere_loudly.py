"""Secrets are found nowhere either when all is told: debug logs, local variables, spans, faults."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard.actors.mailbox.redis import RedisMailbox
from callboard.cli.exits import ExitCode
from tests.front.conftest import Run, Start, children_of, wait_for
from tests.front.test_metrics import DRAMATIQ
from tests.front.test_told_nowhere import (
    PASSWORD,
    PLANTED,
    SEND,
    SHOP,
    _is_settled,
    _planted_in,
    _run_beside,
)
from tests.servers import start_server

LOUD = """
import logging
import sys

import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=open("spans", "a"))))
trace.set_tracer_provider(provider)
for name in (None, "redis", "dramatiq", "asyncio"):
    logging.getLogger(name).setLevel(logging.DEBUG)
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=True)),
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=structlog.PrintLoggerFactory(sys.stderr),
)
"""

USERS_OWN = 'ctx.logger.info("working with " + card, card=card, streets=streets)'
"""What a handler writes itself is its own affair where nobody masks it."""


@pytest.fixture
def locked(tmp_path: Path, environment: dict[str, str]) -> Iterator[str]:
    """The URL of a server that asks for the password."""
    server = start_server("valkey", tmp_path / "server", "--requirepass", PASSWORD)
    url = f"{server.url}?password={PASSWORD}"
    environment |= {"CALLBOARD_URL": url, "PYTHONPATH": str(tmp_path)}
    yield url
    server.stop()


def test_secrets_are_in_no_debug_log_no_local_variable_and_no_span(
    start: Start, tmp_path: Path, locked: str, environment: dict[str, str]
) -> None:
    environment["CALLBOARD_METRICS"] = "none"
    assert USERS_OWN in SHOP
    (tmp_path / "shop.py").write_text(LOUD + SHOP.replace(USERS_OWN, "pass"))
    (tmp_path / "send.py").write_text(SEND)
    pool = start([*DRAMATIQ, "-v", "-v"])
    wait_for(lambda: "ready for action" in (tmp_path / "err").read_text(), "the pool")
    printed = _run_beside(start, tmp_path)
    with_mailbox = RedisMailbox(locked)
    wait_for(lambda: _is_settled(with_mailbox), f"rest: {with_mailbox.info().queues}")
    with_mailbox.close()
    pool.send_signal(signal.SIGTERM)
    assert pool.wait(60) == 0
    logs = (tmp_path / "err.pool").read_text() + (tmp_path / "out.pool").read_text()
    spans = (tmp_path / "spans").read_text()
    for word in ('"level": "error"', "a layer failed", "HandlerTimeout", "DEBUG"):
        assert word in logs, f"nothing of this kind happened: {word}"
    assert "process in_thread" in spans
    assert [_planted_in(text) for text in (logs, spans, printed) if _planted_in(text)] == []


@pytest.mark.parametrize("words", [["run", "shop:app"], ["info"], ["inspect"], ["doctor"], ["trace", "x"]])
def test_a_password_that_is_wrong_is_not_told(
    callboard: Run, tmp_path: Path, locked: str, words: list[str]
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    wrong = PASSWORD[::-1]
    done = callboard(*words, env={"CALLBOARD_URL": locked.replace(PASSWORD, wrong)})
    assert done.returncode != ExitCode.OK
    assert "password" in done.stderr + done.stdout
    assert wrong not in done.stderr + done.stdout


@pytest.mark.usefixtures("locked")
def test_what_the_right_password_lets_one_see_does_not_have_it(callboard: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    for words in (["doctor"], ["doctor", "--json"], ["check", "shop:app"], ["routes"], ["inspect", "--json"]):
        done = callboard(*words)
        assert done.stdout, (words, done.stderr)
        assert _planted_in(done.stdout + done.stderr) == []


@pytest.mark.parametrize(
    "words", [["run", "bad:app"], ["check", "bad:app"], ["send", "bad:app", "x", "--data", "{}"]]
)
def test_an_app_that_does_not_import_is_told_without_its_url(
    callboard: Run, tmp_path: Path, words: list[str]
) -> None:
    fault = f"redis://shop:{PASSWORD}@db:6379/0 is away"
    (tmp_path / "bad.py").write_text(f"url = {fault!r}\nraise ConnectionError(url)\n")
    done = callboard(*words)
    assert done.returncode == ExitCode.USAGE
    assert "bad does not import" in done.stderr
    assert "redis://shop:***@db:6379/0 is away" in done.stderr
    assert _planted_in(done.stderr) == []


@pytest.mark.usefixtures("locked")
def test_a_command_that_is_running_has_no_secret_in_its_arguments(
    start: Start, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["CALLBOARD_METRICS"] = "none"
    (tmp_path / "shop.py").write_text(SHOP)
    pool = start([sys.executable, "-m", "callboard", "run", "shop:app", "-p", "1"])
    wait_for(lambda: "ready for action" in (tmp_path / "err").read_text(), "the pool")
    running = [pool.pid, *children_of(pool)]
    told = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in running]
    assert len(told) > 1
    assert "shop:app" in told[0]
    assert [each for each in told for secret in PLANTED if secret in each] == []
