"""A process that dies before one of its calls to the server.

Called with: what it does (`publish`, `work` or `replay`), URL, workspace, and which call.
"""

import os
import sys
import time

import dramatiq

from callboard import Callboard, Context, Event
from callboard.actors.dead_letters import DeadLetters
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.middleware.connections import Connections

DIED = 9
"""The exit code of a process that came to its call."""


class Told(Event, name="told"):
    """What is published."""

    what: str


class Followed(Event, name="followed"):
    """What the handler of the other publishes."""

    what: str


def app_on(mailbox: RedisMailbox) -> Callboard:
    """An app whose first actor publishes two events, each for two actors."""
    app = Callboard("between", mailbox=mailbox)

    @app.actor(queue="first")
    def hear(event: Told, ctx: Context) -> None:
        ctx.publish(Followed(f"{event.what} a"))
        ctx.publish(Followed(f"{event.what} b"))

    for name in ("one", "two"):

        @app.actor(name=name, queue="second")
        def follow(event: Followed) -> None:
            pass

    for name in ("audit", "archive"):

        @app.actor(name=name, queue="third")
        def keep(event: Told) -> None:
            pass

    return app


def die_before(nth: int) -> None:
    """Let this process end before its nth call: the one before was answered."""
    made, real = 0, Connections.call

    def call(self: Connections, *arguments: bytes | str | int) -> object:
        nonlocal made
        made += 1
        if made == nth:
            os._exit(DIED)
        return real(self, *arguments)

    Connections.call = call  # type: ignore[method-assign]


def publish(mailbox: RedisMailbox) -> None:
    """One event, for three actors in two queues."""
    app = app_on(mailbox)
    mailbox.register(app.routes.declared)
    app.publish(Told("it"))


def work(mailbox: RedisMailbox) -> None:
    """Take one queue's work until nothing of it is left."""
    app = app_on(mailbox)
    worker = dramatiq.Worker(app.broker, queues={"first"}, worker_threads=1)
    worker.start()
    deadline = time.monotonic() + 20
    while any(queue.live for queue in mailbox.info().queues if queue.queue == "first"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker.stop()


def replay(mailbox: RedisMailbox) -> None:
    """All dead letters, three in each step."""
    DeadLetters(mailbox, sleep=lambda _seconds: None).replay(rate=3)


if __name__ == "__main__":
    what, url, workspace, nth = sys.argv[1:]
    die_before(int(nth))
    {"publish": publish, "work": work, "replay": replay}[what](RedisMailbox(url, workspace))
