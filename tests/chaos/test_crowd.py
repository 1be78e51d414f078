"""Fifty publish the same event at a time, and it is delivered once."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos.asked import CROWD, FOLDER, ask, take
from tests.chaos.callboard_side import CallboardSide, CallboardSight
from tests.chaos.gathered import publishes
from tests.chaos.history import History, read_history
from tests.chaos.load import EVENTS, Place
from tests.chaos.publisher import CROWD_SIZE, Publisher
from tests.servers import start_server


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A server, and where a publisher writes down what it was told."""
    server = start_server("valkey", tmp_path / "s")
    yield Place("callboard", server.url, "publisher0.1", str(tmp_path), lease_ms=400, threads=4, seed=3)
    server.stop()


def test_a_crowd_makes_one_delivery_for_each_actor_and_is_told_so(place: Place, tmp_path: Path) -> None:
    side = CallboardSide(place, None)
    with closing(History(tmp_path)) as history:
        Publisher(place, side, history).publish_as_a_crowd()
    side.stop()
    (publish,) = publishes(read_history(tmp_path))
    assert publish.result == "ok"
    with closing(CallboardSight(place.url)) as sight:
        queues = [queue for queue in sight.info().queues if queue.accepted]
        records = sight.records()
    actors = EVENTS[publish.event].actors
    assert {(record.actor, record.token) for record in records} == {
        (actor, publish.token) for actor in actors
    }
    assert [(queue.accepted, queue.duplicates) for queue in queues] == len(actors) * [(1, CROWD_SIZE - 1)]


def test_what_is_asked_is_found_once_and_by_whom_it_was_asked_of(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    ask(tmp_path / FOLDER, CROWD, "publisher0.1", "loud")
    assert take(tmp_path / FOLDER, CROWD, "publisher1.1") is None
    assert take(tmp_path / FOLDER, CROWD, "publisher0.1") == "loud"
    assert take(tmp_path / FOLDER, CROWD, "publisher0.1") is None
