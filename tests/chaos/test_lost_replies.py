"""What a publish comes to when the reply to it is lost, and all is over before it is sent again."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from callboard import Callboard, Event
from callboard.actors.mailbox.infos import QueueInfo
from callboard.actors.mailbox.mailbox import Settlement
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.scripts import Script
from callboard.messages.delivery import Outcome, OutcomeKind, Reason
from callboard.messages.errors import MailboxUnavailable
from tests.chaos.proxy import Proxy
from tests.servers import start_server

ENDS = {
    "succeeded": Outcome(OutcomeKind.SUCCEEDED),
    "dead": Outcome(OutcomeKind.DEAD, Reason.REJECTED),
    "discarded": Outcome(OutcomeKind.DISCARDED, Reason.REJECTED),
}


WINDOW_MS = 24 * 3_600_000
"""How long a contract's completions are remembered unless it says otherwise."""


class Said(Event, name="lost-reply.said"):
    """One thing that is said."""

    what: str


def _hear(_event: Said) -> None:
    raise AssertionError("the worker here settles without a handler")


class Stage:
    """A publisher behind a proxy, and a worker that settles everything as soon as a reply was lost.

    Without an outcome nothing is settled, and the server refuses what is sent next.
    """

    def __init__(self, url: str, directory: Path, outcome: Outcome | None) -> None:
        self._outcome = outcome
        self._script = Script("publish")
        self.worker = RedisMailbox(url)
        upstream = Path(url.removeprefix("unix://"))
        self._proxy = Proxy(directory / "p.sock", upstream, lambda _pid, _at: self._lost())
        self._proxy.start()
        self._app = Callboard("lost-replies", mailbox=RedisMailbox(self._proxy.url))
        self._app.actor(name="hear", queue="ears")(_hear)

    def publish_and_lose_the_reply(self, dedup_key: str | None = None) -> None:
        """Publish one event."""
        self.worker.client.script_load(self._script.text)
        self._proxy.cut(self._script.digest.encode())
        self._app.publish(Said("once"), dedup_key=dedup_key)

    def queue(self) -> QueueInfo:
        """The counts of the event's queue."""
        (queue,) = self.worker.info().queues
        return queue

    def _lost(self) -> None:
        if self._outcome is None:
            self._proxy.refuse(self._script.digest.encode())
            return
        fetched = self.worker.fetch("ears", 10, owner="w", lease_ms=60_000)
        self.worker.settle(
            [Settlement(delivery, self._outcome, WINDOW_MS) for delivery in fetched.deliveries]
        )

    def close(self) -> None:
        """Let go of everything."""
        self._app.close()
        self._proxy.close()
        self.worker.close()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Of a server for this test alone."""
    server = start_server("valkey", tmp_path / "s")
    yield server.url
    server.stop()


@pytest.mark.parametrize("dedup_key", [None, "a-key"])
@pytest.mark.parametrize("end", ENDS)
def test_an_event_that_has_ended_before_it_is_sent_again_is_not_delivered_again(
    url: str, tmp_path: Path, end: str, dedup_key: str | None
) -> None:
    with closing(Stage(url, tmp_path, ENDS[end])) as stage:
        stage.publish_and_lose_the_reply(dedup_key)
        queue = stage.queue()
    assert getattr(queue, end) == 1
    assert (queue.accepted, queue.ready, queue.duplicates) == (1, 0, 1)


def test_an_event_that_is_refused_when_it_is_sent_again_may_be_stored_and_so_is_not_called_refused(
    url: str, tmp_path: Path
) -> None:
    with closing(Stage(url, tmp_path, None)) as stage:
        with pytest.raises(MailboxUnavailable):
            stage.publish_and_lose_the_reply()
        assert stage.queue().accepted == 1
