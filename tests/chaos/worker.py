"""A worker process of the load: runs until it is told to stop, killed, or left alone by its parent."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

from .asked import CLOCK, take
from .callboard_side import CallboardSide
from .clock import set_clock
from .dramatiq_side import DramatiqSide
from .effects import Effects
from .load import Place, Side

PULSE_SECONDS = 0.02

STALL_SECONDS = 0.1
"""A pulse that comes so late is written down: it may have cost a lease."""


def open_side(place: Place, effects: Effects | None) -> Side:
    """The system under test."""
    side = CallboardSide if place.side == "callboard" else DramatiqSide
    return side(place, effects)


def main() -> None:
    """Work for the place that the first argument tells."""
    logging.basicConfig(level=logging.WARNING)
    place = msgspec.json.decode(sys.argv[1], type=Place)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    parent = os.getppid()
    effects = Effects(Path(place.directory), place.member)
    side = open_side(place, effects)
    side.start()
    last = time.monotonic()
    while not told.wait(PULSE_SECONDS) and os.getppid() == parent:
        now = time.monotonic()
        if now - last > STALL_SECONDS:
            effects.stall(last, now)
        last = now
        if (seconds := take(place.asked, CLOCK, place.member)) is not None:
            set_clock(int(seconds))
    side.stop()


if __name__ == "__main__":
    main()
