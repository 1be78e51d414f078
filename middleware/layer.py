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


def _always(_: Policy) -> bool:
    return True


class Place(NamedTuple):
    """A layer, and which actors it stands around."""

    name: str
    layer: Layer
    wanted_by: Callable[[Policy], bool] = _always
    """Actors that did not ask for what it does are spared what it costs."""
