"""A publisher process of the load: publishes until the load is over, and writes down what it was told."""

import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from .asked import CROWD, take
from .history import History
from .load import EVENTS, Event, Place, Refused, Side, Unsure
from .worker import open_side

MOST_EVENTS = 2000
PAUSE_SECONDS = (0.0, 0.03)
BURSTS = (1, 1, 1, 2, 5, 20)
KEYED = 0.3
"""Of publishes, how many use a dedup key, and so may be done again until they are accepted."""

TWICE = 0.3
"""Of those with a key, how many are done again for nothing."""

DELAYED = 0.15
INSISTS_FOR = 5.0
"""Seconds for which a publish with a key is done again."""

CROWD_SIZE = 50
"""How many publish the same at a time."""

BEST_FIRST = ("ok", "unknown", "fail")
"""What a crowd was told: accepted if one of it was, and refused only if all were."""


class Publisher:
    """Publishes events of random kinds."""

    def __init__(self, place: Place, side: Side, history: History) -> None:
        self._place = place
        self._side = side
        self._history = history
        self._dice = random.Random(f"{place.seed} {place.member}")  # noqa: S311 - the same again
        self._published = 0

    def publish_some(self) -> None:
        """Publish one event or a few, in one call."""
        dice = self._dice
        event = self._draw([EVENTS[name] for name in self._side.events])
        tokens = self._tokens(dice.choice(BURSTS))
        after_ms = dice.randint(50, 800) if dice.random() < DELAYED else 0
        # A dedup key is free again when its delivery has ended otherwise than completed.
        keyed = event.ending == "completed" and self._has_keys and dice.random() < KEYED
        self._history.invoke(self._place.member, event.name, tokens, after_ms=after_ms)
        answer, detail = self._try(event.name, tokens, keyed=keyed, after_ms=after_ms)
        give_up_at = time.monotonic() + INSISTS_FOR
        while keyed and answer == "unknown" and time.monotonic() < give_up_at:
            answer, detail = self._try(event.name, tokens, keyed=True, after_ms=after_ms)
            # Refused now, it may still have been accepted before.
            answer = "unknown" if answer == "fail" else answer
        self._history.answer(answer, tokens, detail)
        if keyed and answer == "ok" and dice.random() < TWICE:
            self._try(event.name, tokens, keyed=True, after_ms=after_ms)

    def publish_as_a_crowd(self) -> None:
        """Publish the same event many times at a time, of which one is accepted."""
        known = [EVENTS[name] for name in self._side.events]
        event = self._draw([event for event in known if event.ending == "completed"])
        tokens = self._tokens(1)
        start = threading.Barrier(CROWD_SIZE)

        def publish(_number: int) -> str:
            start.wait()
            return self._try(event.name, tokens, keyed=True, after_ms=0)[0]

        self._history.invoke(self._place.member, event.name, tokens)
        with ThreadPoolExecutor(CROWD_SIZE) as crowd:
            answers = set(crowd.map(publish, range(CROWD_SIZE)))
        self._history.answer(next(answer for answer in BEST_FIRST if answer in answers), tokens)

    def run(self) -> None:
        """Publish until the load is over, or the parent is gone."""
        parent = os.getppid()
        curtain = self._place.curtain
        while not curtain.exists() and self._published < MOST_EVENTS and os.getppid() == parent:
            if take(self._place.asked, CROWD, self._place.member) is not None and self._has_keys:
                self.publish_as_a_crowd()
            self.publish_some()
            time.sleep(self._dice.uniform(*PAUSE_SECONDS))

    @property
    def _has_keys(self) -> bool:
        return self._place.side == "callboard"

    def _draw(self, events: list[Event]) -> Event:
        return self._dice.choices(events, [each.weight for each in events])[0]

    def _tokens(self, count: int) -> list[str]:
        tokens = [f"{self._place.member}-{self._published + number}" for number in range(count)]
        self._published += count
        return tokens

    def _try(self, event: str, tokens: list[str], *, keyed: bool, after_ms: int) -> tuple[str, str]:
        try:
            self._side.publish(event, tokens, keyed=keyed, after_ms=after_ms)
        except Unsure as error:
            return "unknown", str(error)
        except Refused as error:
            return "fail", str(error)
        return "ok", ""


def main() -> None:
    """Publish for the place that the first argument tells."""
    place = msgspec.json.decode(sys.argv[1], type=Place)
    history = History(Path(place.directory))
    Publisher(place, open_side(place, None), history).run()


if __name__ == "__main__":
    main()
