"""What a layer is: a generator around the handler, and its place in the stack."""

from collections.abc import Callable, Generator
from typing import NamedTuple

from ..messages.delivery import Outcome
from .attempt import Attempt, Policy

Layering = Generator[None, Outcome, Outcome]
"""One layer at work: what stands before its `yield` runs before the handler; the `yield` gives the
outcome; what it returns is the outcome for the layers outside of it. One that returns without yielding
answers by itself, and the handler does not run."""

Layer = Callable[[Attempt], Layering]
"""Makes the generator that guards one attempt."""


class Afterwards:
    """A layer that does nothing before the handler and lets a success pass, so that it is begun for any other
    outcome alone: a generator for each success would cost as much as a tenth of the stack."""

    __slots__ = ("_layer",)

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def __call__(self, attempt: Attempt) -> Layering:
        """Begin it."""
        return self._layer(attempt)


Entered = Layering | Afterwards
"""A layer that waits for what the handler comes to."""


def _always(_: Policy) -> bool:
    return True


class Place(NamedTuple):
    """A layer, and which actors it stands around."""

    name: str
    layer: Layer
    wanted_by: Callable[[Policy], bool] = _always
    """Actors that did not ask for what it does are spared what it costs."""
