"""The loop of async handlers by itself: deliveries start in order, and wait in line."""

from collections.abc import Callable

import pytest

from callboard.actors.eventloop import EventLoop
from callboard.actors.gathering import Gathered
from callboard.actors.mailbox.memory import SystemClock
from callboard.messages.delivery import Delivery
from tests.actors.crowd import Crowd
from tests.actors.rehearsal import until


class Stage:
    """A loop that tells what runs on it."""

    def __init__(self, *, in_flight: int = 2, perform: Callable[[Delivery], None] | None = None) -> None:
        self.started: list[str] = []
        self.freed = 0
        self.crowd = Crowd()
        self._perform = perform
        self.loop = EventLoop(self._run, in_flight=in_flight, freed=self._free)
        self.loop.start()

    async def _run(self, delivery: Delivery | Gathered) -> None:
        assert isinstance(delivery, Delivery)
        self.started.append(delivery.key)
        if self._perform:
            self._perform(delivery)
        await self.crowd.wait()

    def _free(self) -> None:
        self.freed += 1


def delivery(key: str) -> Delivery:
    return Delivery(f"handler:{key}", "default", 1, b"", SystemClock())


def test_deliveries_start_in_order_and_the_others_wait_in_line() -> None:
    stage = Stage(in_flight=2)
    assert stage.loop.room == 2
    stage.loop.put([delivery(key) for key in "abcd"])
    until(lambda: stage.crowd.now == 2, "two of them")
    assert stage.started == ["a", "b"]
    assert stage.loop.room == -2
    assert [each.key for each in stage.loop.clear()] == ["c", "d"]
    assert stage.loop.room == 0
    stage.crowd.go.set()
    until(lambda: stage.loop.room == 2, "both to end")
    stage.loop.stop(5)
    assert stage.freed >= 1
    assert stage.loop.started == 2


def test_the_line_moves_up_when_one_ends_and_room_is_told_when_it_is_empty() -> None:
    stage = Stage(in_flight=1)
    stage.crowd.go.set()
    stage.loop.put([delivery(key) for key in "abc"])
    until(lambda: stage.loop.started == 3 and stage.loop.room == 1, "all three")
    assert stage.started == ["a", "b", "c"]
    until(lambda: stage.freed, "the word that there is room")
    stage.loop.stop(5)


def test_a_fault_in_the_loops_own_work_is_told_and_the_next_runs(caplog: pytest.LogCaptureFixture) -> None:
    def fails(one: Delivery) -> None:
        if one.key == "bad":
            raise OSError("settling failed")

    stage = Stage(in_flight=1, perform=fails)
    stage.crowd.go.set()
    stage.loop.put([delivery("bad"), delivery("good")])
    until(lambda: stage.started == ["bad", "good"] and stage.loop.room == 1, "both")
    stage.loop.stop(5)
    assert "a delivery's task failed" in caplog.text


def test_a_loop_that_never_started_stops_at_once() -> None:
    loop = EventLoop(Stage._run, in_flight=1, freed=lambda: None)  # type: ignore[arg-type]  # never called
    loop.stop(5)
    loop._loop.close()
