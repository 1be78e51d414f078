"""An app in which all goes wrong that a dashboard draws or an alert tells of: `callboard run` plays it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from callboard import (
    Callboard,
    Context,
    Dedup,
    Discard,
    DiscardEvent,
    Event,
    RedisDedupStore,
    RejectEvent,
    Retry,
)

app = Callboard("scene", lease="1s", grace="1s")


class Trouble(Event, name="trouble"):
    """What becomes of it is in its name."""

    kind: str
    number: int = 0


class Forgotten(Event, name="forgotten"):
    """Nobody subscribes to it."""


class Hogged(Event, name="hogged"):
    """Holds a thread for a while."""


class Lost(Event, name="lost"):
    """Taken by workers that are never heard of again, and then by ours."""


class Odd(Exception):
    """Of more classes than are told apart."""


app.contract(Forgotten)


def fail_at_first(_: Trouble, ctx: Context) -> None:
    if ctx.attempt < 8:
        raise ConnectionError("no answer")


def reject(_: Trouble, __: Context) -> None:
    raise RejectEvent("it cannot be")


def discard(_: Trouble, __: Context) -> None:
    raise DiscardEvent("not ours")


def come_late(_: Trouble, ctx: Context) -> None:
    ctx.set_timeout("60ms")
    while ctx.attempt == 1:
        time.sleep(0.005)


def fail_oddly(event: Trouble, ctx: Context) -> None:
    if ctx.attempt == 1:
        raise type(f"Odd{event.number}", (Odd,), {})("one of many")


def publish(event: Trouble, ctx: Context) -> None:
    ctx.publish(Trouble("fine"))
    ctx.publish(Forgotten())
    app.publish(Forgotten())
    for _ in range(2):
        app.publish(Trouble("fine"), dedup_key=f"again-{event.number}")


def be_stuck(_: Trouble, __: Context) -> None:
    time.sleep(20)  # in C, where no exception can come in


def be_frozen(_: Trouble, ctx: Context) -> None:
    mark = Path("frozen")
    if ctx.attempt == 1:
        ctx.set_timeout("30s")
        Path("freezing").write_text(str(os.getpid()))
        Path("freezing").rename(mark)
        while mark.exists():
            time.sleep(0.05)


KINDS: dict[str, Callable[[Trouble, Context], None]] = {
    "retried": fail_at_first,
    "dead": reject,
    "discarded": discard,
    "late": come_late,
    "odd": fail_oddly,
    "published": publish,
    "stuck": be_stuck,
    "frozen": be_frozen,
}
"""What is done with each kind of trouble; all others are none."""


@app.actor(
    queue="trouble",
    timeout="500ms",
    retry=Retry.every("200ms", max_attempts=50),
    discard=Discard(max_age="1h"),
)
def act(event: Trouble, ctx: Context) -> None:
    if event.kind in KINDS:
        KINDS[event.kind](event, ctx)


@app.actor(queue="parts", retry=Retry.every("100ms", max_attempts=3), discard=())
def do_parts(event: Trouble, ctx: Context) -> None:
    if event.kind != "partial":
        return
    for item in ctx.items(["a", "b", "c"]):
        with item:
            if item.value == "b" and ctx.attempt < 3:
                raise ValueError(item.value)


@app.actor(
    queue="stored",
    dedup=Dedup(key="kind", window="1m", store=RedisDedupStore(os.environ["CALLBOARD_URL"])),
    discard=(),
)
def do_once(event: Trouble) -> None:
    time.sleep(0.001)


@app.actor(queue="hogs", timeout="5s", discard=())
def hog(event: Hogged) -> None:
    time.sleep(0.5)


@app.actor(queue="lost", discard=())
def find(event: Lost) -> None:
    time.sleep(0.001)
