"""Lines of a handler carry its attempt, whoever writes them, and none of them shows what is sensitive."""

import asyncio
import json
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Annotated, Any

import msgspec
import pytest
import structlog

from callboard import Batch, Callboard, Context, Event, RejectEvent, Sensitive
from callboard.messages.errors import ConfigurationError
from callboard.middleware.attempt import Attempt
from callboard.middleware.layer import Layering
from callboard.observability import logs
from tests.actors.rehearsal import AT_ONCE, new_app, work_off

SECRET = "pl4nted-4111-1111"  # noqa: S105 - planted, to be looked for

Written = Callable[[], list[dict[str, Any]]]


class Home(msgspec.Struct, frozen=True):
    street: Annotated[str, Sensitive]


class Paid(Event, name="order.paid", key="order_id"):
    order_id: str
    card: Annotated[str, Sensitive] = SECRET
    home: Home = Home("Elm Street 5")


class Stderr:
    """All that was written to stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    @property
    def text(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Stderr]:
    """Stderr; the logs are as they were afterwards."""
    root, before, was_configured = logging.getLogger(), structlog.get_config(), structlog.is_configured()
    handlers, level = root.handlers[:], root.level
    yield Stderr(capsys)
    root.handlers[:] = handlers
    root.setLevel(level)
    if was_configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()


@pytest.fixture
def written(stderr: Stderr) -> Written:
    """The lines of JSON that have been written since logs were set up."""
    logs.set_up("debug", as_json=True)
    return lambda: [json.loads(line) for line in stderr.text.splitlines()]


def said(lines: list[dict[str, Any]], word: str) -> dict[str, Any]:
    """The one line of a word."""
    (line,) = [line for line in lines if line["event"] == word]
    return line


def fields_of(receipt_id: str, attempt: int = 1) -> dict[str, Any]:
    return {
        "event_name": "order.paid",
        "event_id": receipt_id,
        "actor": "handler",
        "delivery": f"handler:{receipt_id}",
        "attempt": attempt,
        "correlation_id": "c-1",
    }


@pytest.mark.parametrize("is_async", [False, True])
def test_every_line_written_in_a_handler_carries_its_attempt(written: Written, is_async: bool) -> None:
    app = new_app()

    def write(ctx: Context) -> None:
        structlog.get_logger("shop").info("by structlog", order="A-1")
        logging.getLogger("shop").warning("by logging %s", "A-1")
        ctx.logger.info("by the context")

    if is_async:

        @app.actor(name="handler")
        async def ahandler(event: Paid, ctx: Context) -> None:
            await asyncio.sleep(0)
            write(ctx)
            await asyncio.to_thread(structlog.get_logger().info, "in a thread")

    else:

        @app.actor(name="handler")
        def handler(event: Paid, ctx: Context) -> None:
            write(ctx)

    receipt = app.publish(Paid("A-1"), correlation_id="c-1")
    work_off(app)
    structlog.get_logger().info("outside")
    expected = fields_of(receipt.id)
    words = ["by structlog", "by logging A-1", "by the context", *(["in a thread"] if is_async else [])]
    for word in words:
        line = said(written(), word)
        assert expected.items() <= line.items(), word
        assert line["timestamp"].endswith("Z")
        assert line["level"] in ("info", "warning")
    assert said(written(), "by structlog")["logger"] == "shop"
    assert said(written(), "by logging A-1")["logger"] == "shop"
    assert expected.keys().isdisjoint(said(written(), "outside"))


def test_lines_of_handlers_that_run_at_the_same_time_are_not_mixed_up(written: Written) -> None:
    app = new_app()
    together = threading.Barrier(4)

    @app.actor
    def handler(event: Paid) -> None:
        together.wait(10)
        structlog.get_logger().info("working", order=event.order_id)

    ids = {order: app.publish(Paid(order)).id for order in "ABCD"}
    work_off(app)
    told = {line["order"]: line["event_id"] for line in written() if line["event"] == "working"}
    assert told == ids


@pytest.mark.parametrize("is_async", [False, True])
def test_lines_of_a_batch_tell_its_size_and_no_secret_of_any_event(written: Written, is_async: bool) -> None:
    app = new_app()

    def write(events: list[Paid]) -> None:
        structlog.get_logger().info("working", cards=[event.card for event in events])

    if is_async:

        @app.actor(name="handler", batch=Batch(size=3, wait="20s"))
        async def ahandler(events: list[Paid]) -> None:
            write(events)

    else:

        @app.actor(name="handler", batch=Batch(size=3, wait="20s"))
        def handler(events: list[Paid]) -> None:
            write(events)

    app.publish_many([Paid(order, card=f"secret of {order}") for order in "ABC"])
    work_off(app)
    line = said(written(), "working")
    assert (line["actor"], line["batch"], line["cards"]) == ("handler", 3, ["***"] * 3)
    assert "event_id" not in line


def test_a_key_that_is_not_the_events_id_is_told_as_a_digest(written: Written) -> None:
    app = new_app()

    @app.actor
    def handler(event: Paid) -> None:
        structlog.get_logger().info("working")

    app.publish(Paid("A"), dedup_key="ann@example.org")
    work_off(app)
    assert said(written(), "working")["delivery"].startswith("handler:#")
    assert "ann@example.org" not in str(written())


def test_an_outcome_is_one_line_with_where_it_came_from_and_no_text(written: Written) -> None:
    app = new_app()

    @app.actor(retry=AT_ONCE)
    def handler(event: Paid, ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ValueError("says " + event.order_id)
        raise RejectEvent("unwanted")

    receipt = app.publish(Paid("A-17"), correlation_id="c-1")
    work_off(app)
    retried, dead = said(written(), "retried"), said(written(), "dead")
    assert fields_of(receipt.id).items() <= retried.items()
    assert fields_of(receipt.id, 2).items() <= dead.items()
    assert (retried["error"], retried["level"], retried["retry_in_ms"]) == ("ValueError", "warning", 1)
    assert (dead["reason"], dead["level"]) == ("rejected", "error")
    assert retried["where"][-1].startswith(f"{__file__}:")
    assert retried["where"][-1].endswith(" in handler")
    assert len(retried["where"]) == 1, "frames of Callboard itself are of no use to the reader"
    assert "A-17" not in str(written())


@pytest.mark.parametrize("level", ["debug", "info"])
def test_a_success_is_a_line_for_who_asks_for_it(written: Written, level: str) -> None:
    app = new_app(log_level=level)

    @app.actor
    def handler(event: Paid) -> None: ...

    receipt = app.publish(Paid("A"), correlation_id="c-1")
    work_off(app)
    lines = [line for line in written() if line["event"] == "succeeded"]
    assert len(lines) == (level == "debug")
    for line in lines:
        assert fields_of(receipt.id).items() <= line.items()
        assert line["level"] == "debug"


def test_what_is_sensitive_is_in_no_line_of_its_handler(written: Written, stderr: Stderr) -> None:
    app = new_app()

    @app.actor(retry=AT_ONCE)
    def handler(event: Paid, ctx: Context) -> None:
        log = structlog.get_logger()
        log.info(f"card {event.card}", card=event.card, nested={"cards": [event.card, {event.card: 1}]})
        log.info("objects", event_=event, home=event.home, raw=event.card.encode(), ctx=ctx)
        logging.getLogger("shop").warning("card %s of %r", event.card, event.home)
        ctx.logger.bind(card=event.card).info("bound")
        try:
            raise KeyError(event.card)
        except KeyError:
            log.exception("caught")
            logging.getLogger("shop").exception("caught as well")
        raise ValueError(event.card)

    app.publish(Paid("A"))
    work_off(app)
    assert {"objects", "bound", "caught", "caught as well", "dead"} <= {each["event"] for each in written()}
    assert stderr.text.count("***") > 8
    assert SECRET not in stderr.text
    assert "Elm Street 5" not in stderr.text


def test_a_layer_that_fails_is_told_with_its_traceback_and_no_secret(written: Written) -> None:
    app = new_app(retry=AT_ONCE)

    def broken(attempt: Attempt) -> Layering:
        yield
        assert isinstance(attempt.event, Paid)
        raise RuntimeError(f"with {attempt.event.card} at redis://:{SECRET}@db")

    app.layer(broken)

    @app.actor
    def handler(event: Paid) -> None: ...

    app.publish(Paid("A"))
    work_off(app)
    line = next(line for line in written() if line["event"] == "a layer failed")
    assert "in broken" in line["exception"]
    assert "RuntimeError: with *** at redis://:***@db" in line["exception"]
    assert SECRET not in str(written())


def test_whatever_the_app_configures_afterwards_has_the_say(stderr: Stderr) -> None:
    logs.set_up("info", as_json=True)
    lines: list[str] = []

    def keep(_logger: object, _method: str, line: MutableMapping[str, Any]) -> str:
        lines.append(line["event"])
        raise structlog.DropEvent

    structlog.configure(processors=[keep], logger_factory=structlog.PrintLoggerFactory())
    own = logging.NullHandler()
    logging.getLogger().handlers[:] = [own]
    logs.set_level("error")
    structlog.get_logger().info("mine")
    assert lines == ["mine"]
    assert logging.getLogger().level == logging.INFO
    assert stderr.text == ""


def test_the_level_of_an_app_is_that_of_its_worker(stderr: Stderr) -> None:
    logs.set_up("debug", as_json=True)
    app = new_app(log_level="warning")

    @app.actor
    def handler(event: Paid) -> None:
        structlog.get_logger().info("too low")
        structlog.get_logger().warning("high enough")
        logging.getLogger("shop").info("too low")

    app.publish(Paid("A"))
    work_off(app)
    assert "too low" not in stderr.text
    assert "high enough" in stderr.text


def test_a_level_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="'loud' is no level of logs: choose of debug, info"):
        logs.set_up("loud")
    with pytest.raises(ConfigurationError, match="log_level: 'loud' is no level of logs"):
        new_app(log_level="loud")


PROGRAM = """
import logging, structlog
from callboard.observability.logs import set_up
set_up()
structlog.get_logger("a").info("first", number=1)
logging.getLogger("b").info("second")
"""


def test_lines_are_json_on_a_pipe() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    first, second = [json.loads(line) for line in done.stderr.splitlines()]
    assert (first["event"], first["number"], first["level"], first["logger"]) == ("first", 1, "info", "a")
    assert (second["event"], second["level"], second["logger"]) == ("second", "info", "b")


@pytest.mark.parametrize("colour", [True, False])
def test_lines_are_for_people_on_a_terminal(colour: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {} if colour else {"NO_COLOR": "1"}
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=theirs, env=environment, check=True)
    text = os.read(ours, 10_000).decode()
    os.close(theirs)
    os.close(ours)
    assert "first" in text
    assert "second" in text
    assert "{" not in text
    assert ("\x1b[" in text) == colour


def test_importing_callboard_sets_no_logs_up() -> None:
    program = (
        "import callboard.public, logging, structlog; print(structlog.is_configured(), logging.root.handlers)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False []\n"


def test_an_app_is_usable_where_no_logs_were_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()  # whatever other tests have set up
    app = Callboard("shop", mailbox=new_app().mailbox)
    app._boot()
    assert not structlog.is_configured()
