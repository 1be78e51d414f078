"""Async handlers that wait together until a test lets them go."""

import asyncio
import threading

from callboard import Callboard
from tests.actors.rehearsal import OrderPlaced


class Crowd:
    """Handlers wait in it until it is let go, and it tells how many there were at a time."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.threads: set[int] = set()
        self.go = threading.Event()

    async def wait(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        self.threads.add(threading.get_ident())
        try:
            while not self.go.is_set():  # noqa: ASYNC110 - the test's thread sets it
                await asyncio.sleep(0.002)
        finally:
            self.now -= 1


def crowded(app: Callboard) -> Crowd:
    """An actor whose handlers wait in a crowd."""
    crowd = Crowd()

    @app.actor
    async def handler(event: OrderPlaced) -> None:
        await crowd.wait()

    return crowd
