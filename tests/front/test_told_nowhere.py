"""Secrets in a body, a token, a URL and an exception are found nowhere that a pool and commands write."""

import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from callboard.actors.mailbox.redis import RedisMailbox
from callboard.cli.exits import ExitCode
from tests.front.conftest import Run, Start, wait_for
from tests.servers import start_server

IN_BODY = "b0dy-4111-1111-1111"
IN_LIST = "b0dy-elm-street-5"
TOKEN = "t0ken-8f7e6d5c4b3a"  # noqa: S105 - planted, as all of these are
PASSWORD = "p4ssw0rd-horse-battery"  # noqa: S105
PLANTED = (IN_BODY, IN_LIST, TOKEN, PASSWORD)

SHOP = f"""
import asyncio
import os
import time
from typing import Annotated

from callboard import (
    Batch, Callboard, Context, Discard, DiscardEvent, Event, RejectEvent, Retry, RetryLater, Sensitive,
)

RETRY = Retry.every("1 ms", max_attempts=2)
app = Callboard("shop", lease="500ms", retry=RETRY, timeout="300ms")


class Paid(Event, name="order.paid", key="order_id"):
    order_id: str
    how: str
    card: Annotated[str, Sensitive]
    streets: list[Annotated[str, Sensitive]] = []


@app.layer
def fussy(attempt):
    outcome = yield
    if getattr(attempt, "event", None) is not None and attempt.event.how == "layer":
        raise RuntimeError("a layer with " + attempt.event.card)
    return outcome


def fail(event: Paid, ctx: Context) -> None:
    card, streets = event.card, event.streets
    ctx.logger.info("working with " + card, card=card, streets=streets)
    ways = {{
        "raise": ValueError(f"no card {{card}} in {{streets!r}}"),
        "key": KeyError(card),
        "token": PermissionError("401 for Authorization: Bearer {TOKEN}"),
        "url": ConnectionError("redis://shop:{PASSWORD}@db:6379/0 is away"),
        "reject": RejectEvent(f"not {{card}}"),
        "discard": DiscardEvent(f"not {{card}}"),
        "later": RetryLater("1 day"),
    }}
    if event.how in ways:
        raise ways[event.how]
    if event.how == "chain":
        try:
            raise KeyError(card)
        except KeyError as error:
            raise ValueError("token={TOKEN}") from error
    if event.how == "crash":
        os._exit(1)


@app.actor
def in_thread(event: Paid, ctx: Context) -> None:
    if event.how == "timeout":
        while True:
            time.sleep(0.01)
    fail(event, ctx)
    for item in ctx.items(event.streets, key=lambda street: "one"):
        with item:
            raise ValueError(item.value)


@app.actor
async def on_loop(event: Paid, ctx: Context) -> None:
    if event.how == "timeout":
        await asyncio.sleep(60)
    if event.how != "crash":
        fail(event, ctx)


@app.actor(batch=Batch(size=4, wait="10ms"), discard=Discard(when=lambda event: event.how == "discard"))
def in_batch(events: list[Paid]) -> None:
    raise ValueError("in a batch: " + ", ".join(event.card for event in events))
"""

SEND = f"""
from callboard.messages.codec import encode
from callboard.actors.mailbox.mailbox import Posting, Target
from shop import Paid, app

WAYS = ("raise", "key", "token", "url", "reject", "discard", "later", "chain", "layer", "timeout", "items")
for how in WAYS:
    app.publish(
        Paid("A-" + how, how, "{IN_BODY}", ["{IN_LIST}"]), attributes={{"authorization": "{TOKEN}"}}
    )
body = encode(Paid("B-1", "raise", "{IN_BODY}"), id="b-1", source="shop").body
broken = (body[:-9], body.replace(b'"how":"raise"', b'"how":7'), body.replace(b"order.paid", b"order.x"))
app.mailbox.publish([
    Posting("order.paid", each, b"%016d" % number, (Target(actor, "default", f"broken-{{number}}", 1000),))
    for number, each in enumerate(broken) for actor in ("in_thread", "nobody")
])
print(app.publish(Paid("A-last", "raise", "{IN_BODY}"), attributes={{"authorization": "{TOKEN}"}}).id)
"""


def _planted_in(text: str) -> list[str]:
    return [secret for secret in PLANTED if secret in text or secret[:10] in text]


def _free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def test_secrets_are_found_nowhere_that_is_written(
    callboard: Run, start: Start, tmp_path: Path, environment: dict[str, str]
) -> None:
    server = start_server("valkey", tmp_path / "server", "--requirepass", PASSWORD)
    try:
        url = f"{server.url}?password={PASSWORD}"
        address = f"127.0.0.1:{_free_port()}"
        environment |= {"CALLBOARD_URL": url, "CALLBOARD_METRICS": address, "PYTHONPATH": str(tmp_path)}
        (tmp_path / "shop.py").write_text(SHOP)
        (tmp_path / "send.py").write_text(SEND)
        pool = start(
            [sys.executable, "-m", "callboard", "run", "shop:app", "-p", "1", "--log-level", "debug"]
        )
        wait_for(lambda: "ready for action" in (tmp_path / "err").read_text(), "the pool")
        wait_for(lambda: _is_served(address), "the metrics")
        written = [_run_beside(start, tmp_path)]
        event_id = written[0].split()[-1]
        with_mailbox = RedisMailbox(url)
        wait_for(lambda: _is_settled(with_mailbox), f"rest: {with_mailbox.info().queues}")
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        written += [metrics, _told_of(with_mailbox)]
        with_mailbox.close()
        for words in _reading_commands(event_id):
            done = callboard(*words)
            assert done.returncode == ExitCode.OK, (words, done.stderr)
            written.append(done.stdout + done.stderr)
        pool.send_signal(signal.SIGTERM)
        assert pool.wait(60) == ExitCode.OK
    finally:
        server.stop()
    logs = (tmp_path / "err.pool").read_text() + (tmp_path / "out.pool").read_text()
    for word in ("retried", "dead", "discarded", "a layer failed", "working with ***", "HandlerTimeout"):
        assert word in logs, f"nothing of this kind happened: {word}"
    assert [_planted_in(text) for text in (logs, *written) if _planted_in(text)] == []


def _run_beside(start: Start, directory: Path) -> str:
    """What a program that publishes has printed; the pool's output is put aside first."""
    for name in ("out", "err"):
        (directory / name).rename(directory / f"{name}.pool")
    sender = start([sys.executable, "send.py"])
    assert sender.wait(60) == 0, (directory / "err").read_text()
    return (directory / "err").read_text() + (directory / "out").read_text()


def _is_served(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as line:
        return line.connect_ex((host, int(port))) == 0


def _is_settled(mailbox: RedisMailbox) -> bool:
    """Whether nothing is left but what waits for a day, or for an actor that is not there."""
    (queue,) = mailbox.info().queues
    return queue.dead >= 12 and not (queue.ready or queue.leased or queue.suspects)


def _told_of(mailbox: RedisMailbox) -> str:
    """All that records tell, but for the bodies themselves."""
    records = mailbox.ended("default", 1000)
    assert len(records) > 12
    items = [item.error for each in records for item in mailbox.ledger.of_ended(each.id)]
    told = [(each.id, each.detail, each.history.first_error, each.history.last_error) for each in records]
    return f"{told} {items}"


def _reading_commands(event_id: str) -> list[list[str]]:
    lines = [["info"], ["trace", event_id], ["schedule", "list"], ["inspect"], ["dlq", "list", "--each"]]
    lines += [["event", "show", event_id, "--body"], ["event", "list"]]
    return [*lines, *([*line, "--json"] for line in lines)]


@pytest.mark.parametrize("words", [["info"], ["run", "shop:app"], ["trace", "x"]])
def test_the_password_of_a_server_that_is_away_is_not_told(
    callboard: Run, tmp_path: Path, environment: dict[str, str], words: list[str]
) -> None:
    environment["CALLBOARD_URL"] = f"redis://shop:{PASSWORD}@127.0.0.1:{_free_port()}/0"
    (tmp_path / "shop.py").write_text(SHOP)
    before = time.monotonic()
    done = callboard(*words)
    assert done.returncode == ExitCode.UNREACHABLE, done.stderr
    assert "redis://127.0.0.1" in done.stderr
    assert _planted_in(done.stdout + done.stderr) == []
    assert time.monotonic() - before < 60
