"""Makes trouble of every kind in the scene's mailbox, until it is told to stop."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callboard.actors.mailbox.redis import RedisMailbox
from tests.actors.mailbox.conformance import posting, target
from tests.deploy.prometheus import await_so
from tests.deploy.scene import Hogged, Lost, Trouble, app

EVERY = 0.25
"""Seconds between two rounds."""

LEASE_MS = 300
"""How long the workers that are never heard of again hold what they take."""

WITHIN = 30.0


class Troublemaker(threading.Thread):
    """Publishes what fails, takes what it never settles, and is a worker that takes nothing."""

    def __init__(self, mailbox: RedisMailbox) -> None:
        super().__init__(name="troublemaker", daemon=True)
        self._mailbox = mailbox
        self._over = threading.Event()

    def run(self) -> None:
        # A queue that nobody takes from, and one whose worker takes nothing.
        self._mailbox.publish([posting(target(str(n), queue="unmanned", actor="nobody")) for n in range(5)])
        self._mailbox.publish([posting(target(str(n), queue="stalled", actor="sleeper")) for n in range(5)])
        number = 0
        while not self._over.wait(EVERY):
            number += 1
            app.publish_many(list(self._round(number)))
            self._mailbox.heartbeat("host:1:sleeper", ["stalled"])
            # The pool is often quicker.
            if number % 4 == 0:
                self._mailbox.fetch("lost", 2, owner="host:2:gone", lease_ms=LEASE_MS)

    def stop(self) -> None:
        """Make no more."""
        self._over.set()
        self.join(WITHIN)

    @staticmethod
    def _round(number: int) -> Iterator[Trouble | Hogged | Lost]:
        for kind, times in (("fine", 5), ("retried", 5), ("dead", 1), ("discarded", 1), ("partial", 1)):
            for _ in range(times):
                yield Trouble(kind, number)
        for kind in ("late", "published"):
            yield Trouble(kind, number)
        if number <= 40:
            yield Trouble("odd", number)
        if number == 20:
            yield Trouble("stuck")
        for _ in range(3):
            yield Hogged()
        yield Lost()


@contextmanager
def trouble(mailbox: RedisMailbox) -> Iterator[None]:
    """Everything goes wrong within."""
    maker = Troublemaker(mailbox)
    maker.start()
    try:
        yield
    finally:
        maker.stop()


def fence_off(mailbox: RedisMailbox, directory: Path) -> None:
    """Let a worker stand still until another has taken over what it holds: what it says comes too late."""
    mark = directory / "frozen"
    app.publish(Trouble("frozen"))
    await_so(mark.exists, "a handler is at work", WITHIN)
    pid = int(mark.read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        await_so(lambda: _take_over(mailbox), "its lease has run out", WITHIN)
    finally:
        mark.unlink()
        os.kill(pid, signal.SIGCONT)


def _take_over(mailbox: RedisMailbox) -> bool:
    time.sleep(0.1)
    return bool(mailbox.fetch("trouble", 1, owner="host:3:other", lease_ms=3000, alone=True).deliveries)
