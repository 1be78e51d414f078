"""One handler that kills its process, among a thousand deliveries, one by one and in batches."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.chaos.callboard_side import CallboardSide, CallboardSight
from tests.chaos.crew import LOGS, Crew
from tests.chaos.effects import FOLDER, TRAPS, read_effects
from tests.chaos.load import FATAL, MINE, MINES, QUEUES, Place
from tests.servers import start_server

INNOCENT = 999
BEFORE_IT = 500
CRASHES = 3
WITHIN = 90.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A server, and where its workers keep what they do."""
    for folder in (LOGS, FOLDER, TRAPS):
        (tmp_path / folder).mkdir()
    server = start_server("valkey", tmp_path / "s")
    yield Place("callboard", server.url, "nobody", str(tmp_path), lease_ms=300, threads=4, seed=0)
    server.stop()


def publish(place: Place, kind: str) -> None:
    """A thousand events of a kind, the fatal one in their midst."""
    tokens = [f"innocent {number}" for number in range(INNOCENT)]
    side = CallboardSide(place, None)
    side.publish(kind, [*tokens[:BEFORE_IT], FATAL, *tokens[BEFORE_IT:]], keyed=False, after_ms=0)
    side.stop()


def work_until_rest(place: Place, sight: CallboardSight) -> None:
    """Let two workers work, begun again whenever one has ended."""

    def place_of(name: str) -> Place:
        return Place(place.side, place.url, name, place.directory, place.lease_ms, place.threads, place.seed)

    deadline = time.monotonic() + WITHIN
    with Crew(Path(place.directory), place_of) as crew:
        crew.hire("worker", 2)
        while not sight.at_rest():
            assert time.monotonic() < deadline, f"not at rest after {WITHIN} s: {sight.info()}"
            crew.replace("worker")
            time.sleep(0.02)
        crew.dismiss("worker")


@pytest.mark.chaos
@pytest.mark.parametrize("kind", [MINE, MINES])
def test_a_handler_that_kills_its_process_is_dead_as_poison_and_its_neighbours_are_not_charged(
    place: Place, kind: str
) -> None:
    with ExitStack() as held:
        sight = held.enter_context(closing(CallboardSight(place.url)))
        publish(place, kind)
        work_until_rest(place, sight)
        (ended,) = sight.mailbox.ended(QUEUES[kind])
        queue = next(queue for queue in sight.info().queues if queue.queue == QUEUES[kind])
    runs, _stalls = read_effects(Path(place.directory))
    assert (queue.accepted, queue.succeeded, queue.dead) == (INNOCENT + 1, INNOCENT, 1)
    assert (ended.reason, ended.history.crashes, ended.history.attempts) == ("poison", CRASHES, CRASHES)
    fatal = sorted((run for run in runs if run.token == FATAL), key=lambda run: run.fence)
    assert [run.attempt for run in fatal if run.alone] == [1, 2, 3]
    # Once by chance, once together with others that were lost with it; each may lose the race to its start.
    assert {run.attempt for run in fatal if not run.alone} == {1}
    innocent = [run for run in runs if run.token != FATAL]
    assert {run.attempt for run in innocent} == {1}
    assert len({run.token for run in innocent if run.result == "done"}) == INNOCENT
