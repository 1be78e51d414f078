"""Publishes steadily, in a thread, and writes down what it was told."""

import random
import threading
from types import TracebackType
from typing import Self

from tests.chaos.history import History
from tests.chaos.load import EVENTS, Place, Refused, Unsure

from .side import RollingSide

CALLS_EVERY = 0.01
"""Seconds from one publish to the next."""

BURSTS = (1, 1, 1, 2, 5)
DELAYED = 0.1


class SteadyPublisher:
    """Publishes while its context lasts."""

    def __init__(self, place: Place, history: History) -> None:
        self._member = place.member
        self._history = history
        self._side = RollingSide(place, None)
        self._dice = random.Random(place.seed)  # noqa: S311 - the same again
        self._published = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steady", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._side.stop()

    def _run(self) -> None:
        while not self._over.wait(CALLS_EVERY):
            self._publish()

    def _publish(self) -> None:
        dice = self._dice
        event = dice.choices(tuple(EVENTS), [each.steady for each in EVENTS.values()])[0]
        first, self._published = self._published, self._published + dice.choice(BURSTS)
        tokens = [f"{self._member}-{number}" for number in range(first, self._published)]
        # One that is delayed leaves its lane to those after it.
        after_ms = dice.randint(50, 800) if event != "ordered" and dice.random() < DELAYED else 0
        self._history.invoke(self._member, event, tokens, after_ms=after_ms)
        answer = "ok"
        try:
            self._side.publish(event, tokens, keyed=False, after_ms=after_ms)
        except Unsure:
            answer = "unknown"
        except Refused:
            answer = "fail"
        self._history.answer(answer, tokens)
