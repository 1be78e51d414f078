"""A worker process whose handler goes through a hundred items, and writes down each begin and end of one."""

import os
import signal
import sys
import threading
import time

import dramatiq

from callboard import Callboard, Context, Event, Retry
from callboard.actors.mailbox.redis import RedisMailbox

ITEMS = 100
ITEM_SECONDS = 0.002
LEASE = "300ms"
WORKSPACE = "items"
FAILING = 10
"""Each item whose number is so many times something and three fails when it is tried first."""


class CatalogChanged(Event, name="catalog.changed"):
    """What the worker handles."""

    number: int


def fails(number: int) -> bool:
    """Whether the first try of an item fails."""
    return number % FAILING == 3


def open_app(url: str, path: str, *, durable: bool) -> Callboard:
    """The app, whose handler appends to a file; a single write of a line is never seen in part."""
    app = Callboard("shop", mailbox=RedisMailbox(url, WORKSPACE), lease=LEASE, metrics="none")
    file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def tell(what: str, event: CatalogChanged, key: str) -> None:
        os.write(file, f"{what} {event.number} {key} {os.getpid()}\n".encode())

    @app.actor(name="sync", retry=Retry.every("1 ms", max_attempts=10), timeout="30s")
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(range(ITEMS), durable=durable):
            with item:
                tell("begun", event, item.key)
                time.sleep(ITEM_SECONDS)
                if fails(item.value) and item.attempt == 1:
                    raise ConnectionError("the first try")
            tell("ended", event, item.key)

    return app


def main() -> None:
    """Work until told to stop, killed, or left alone by the parent."""
    url, path, durable = sys.argv[1:]
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    parent = os.getppid()
    app = open_app(url, path, durable=durable == "durable")
    worker = dramatiq.Worker(app.broker, worker_threads=2, worker_timeout=20)
    worker.start()
    while not told.wait(0.05) and os.getppid() == parent:
        pass
    worker.stop(timeout=10_000)
    app.close()


if __name__ == "__main__":
    main()
