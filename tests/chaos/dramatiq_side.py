"""The same load on dramatiq's own RedisBroker, as it comes, to show that the checker can find a loss."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO, CurrentMessage

from callboard.actors.mailbox.infos import MailboxInfo

from .effects import Effects
from .load import FOLLOW, QUEUES, SLOW_SECONDS, Failed, Place, Refused, Unsure, follow_up_of
from .observed import Record

Handler = Callable[[str], object]
"""Takes a token."""

RETRY_MS = 100
"""Retries come as soon as Callboard's do; the default of 15 s would outlast the round."""


class DramatiqSide:
    """dramatiq under test. It knows nothing that is discarded, so that kind is not asked of it."""

    events: Sequence[str] = ("quick", "slow", "flaky", "cause", "waiting", "doomed")

    def __init__(self, place: Place, effects: Effects | None) -> None:
        self._threads = place.threads
        self._effects = effects
        self._broker = RedisBroker(url=place.url)
        self._broker.add_middleware(CurrentMessage())
        self._broker.add_middleware(AsyncIO())
        self._actors: dict[str, dramatiq.Actor[[str], object]] = {}
        self._worker: dramatiq.Worker | None = None
        for name, fn in _handlers(self).items():
            declare = dramatiq.actor(
                broker=self._broker,
                actor_name=name,
                queue_name=QUEUES[name],
                min_backoff=RETRY_MS,
                max_backoff=RETRY_MS,
                throws=Failed if name == "doomed" else None,
            )
            self._actors[name] = declare(fn)

    def run(self, token: str) -> AbstractContextManager[None]:
        """Around what a handler does."""
        assert self._effects is not None, "only workers run handlers"
        message = CurrentMessage.get_current_message()
        assert message is not None
        attempt = message.options.get("retries", 0) + 1
        return self._effects.run(
            token, message.actor_name, message.message_id, fence=0, attempt=attempt, alone=False
        )

    def send(self, actor: str, token: str, after_ms: int = 0) -> None:
        """Send one message."""
        self._actors[actor].send_with_options(args=(token,), delay=after_ms or None)

    def publish(self, event: str, tokens: Sequence[str], *, keyed: bool, after_ms: int) -> None:
        """See `Side.publish`; there are no dedup keys, so that a second publish is never safe."""
        del keyed
        try:
            for token in tokens:
                for actor in ("quick", "echo") if event == "quick" else (event,):
                    self.send(actor, token, after_ms)
        except (redis.ConnectionError, redis.TimeoutError, dramatiq.ConnectionError) as error:
            raise Unsure(str(error)) from error
        except redis.RedisError as error:
            # The first of two actors may have been reached before the second was refused.
            raise (Unsure if event == "quick" or len(tokens) > 1 else Refused)(str(error)) from error

    def start(self) -> None:
        """See `Side.start`."""
        self._worker = dramatiq.Worker(self._broker, worker_threads=self._threads)
        self._worker.start()

    def stop(self) -> None:
        """See `Side.stop`."""
        if self._worker is not None:
            self._worker.stop()
        self._broker.close()


def _handlers(side: DramatiqSide) -> "dict[str, Handler]":
    def pass_by(token: str) -> None:
        with side.run(token):
            pass

    def slow(token: str) -> None:
        with side.run(token):
            time.sleep(SLOW_SECONDS)

    def flaky(token: str) -> None:
        message = CurrentMessage.get_current_message()
        with side.run(token):
            if message is not None and not message.options.get("retries"):
                raise Failed("at first")

    def cause(token: str) -> None:
        side.send(FOLLOW, follow_up_of(token))
        with side.run(token):
            pass

    async def waiting(token: str) -> None:
        with side.run(token):
            await asyncio.sleep(SLOW_SECONDS)

    def doomed(token: str) -> None:
        with side.run(token):
            raise Failed("as planned")

    return {
        "quick": pass_by,
        "echo": pass_by,
        "slow": slow,
        "flaky": flaky,
        "cause": cause,
        FOLLOW: pass_by,
        "waiting": waiting,
        "doomed": doomed,
    }


class DramatiqSight:
    """What can be seen of dramatiq's queues in the server, not through the proxy."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)

    def calls(self) -> dict[str, bytes]:
        """How a request is known. What settles a failed message is the enqueue of its retry."""
        return {"publish": b"\r\nenqueue\r\n", "fetch": b"\r\nfetch\r\n", "settle": b'"retries":'}

    def info(self) -> MailboxInfo:
        """It keeps no counts."""
        return MailboxInfo("", "", 0)

    def at_rest(self) -> bool:
        """Whether no message waits or runs."""
        return not any(record.state == "held" for record in self.records())

    def records(self) -> list[Record]:
        """All messages in the server: dead-lettered ones, and others."""
        found: list[Record] = []
        for name in self._client.scan_iter("dramatiq:*.msgs", count=1000):
            state: Literal["dead", "held"] = "dead" if name.endswith(b".XQ.msgs") else "held"
            for data in self._client.hvals(name):
                message = json.loads(data)
                found.append(Record(message["args"][0], message["actor_name"], message["message_id"], state))
        return found

    def close(self) -> None:
        """Let go of the server."""
        self._client.close()
