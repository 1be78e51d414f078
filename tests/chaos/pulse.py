"""Feels whether the server answers: a busy disk or machine can hold it up as any fault can."""

import threading
import time
from typing import Self

import redis

from .history import History

SILENCE = "silent server"
"""What a history calls a time in which the server did not answer, and nobody had made it so."""

BEAT_SECONDS = 0.02

SILENT_SECONDS = 0.2
"""An answer that comes so late is written down: it may have cost a lease."""


class Pulse:
    """Asks the server for nothing, again and again, until its context ends."""

    def __init__(self, url: str, history: History) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=5)
        self._history = history
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            asked_at = time.monotonic()
            try:
                self._client.ping()
            except redis.RedisError:
                continue  # it is down, and whoever took it down has written so
            now = time.monotonic()
            if now - asked_at > SILENT_SECONDS:
                self._history.fault(SILENCE, member=None, pid=0, start=asked_at, end=now)
