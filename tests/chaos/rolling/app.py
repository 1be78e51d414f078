"""What `callboard run` is given: the app of a pool, in the place that the environment tells."""

import os

import msgspec

from tests.chaos.load import Place

from .side import PLACE, RollingSide, effects_of


def _open() -> RollingSide:
    place = msgspec.json.decode(os.environ[PLACE], type=Place)
    return RollingSide(place, lambda: effects_of(place, os.getpid()))


app = _open().app
