"""What may be said of an actor when it is declared."""

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches

from ..messages.errors import InvalidActor
from ..middleware.options import Options, OptionsSaid
from .batch import Batch
from .signature import Wanted


class ActorOptions(OptionsSaid, total=False):
    """The keywords of `@app.actor`; what is left out is decided by the queue, the app or the default."""

    name: str | None
    """Its name in routes, records and metrics; the function's if None."""
    queue: str
    """The queue its deliveries wait in: "default"."""
    priority: int
    """Lower ones go first among what a worker holds: 0."""
    concurrency: int | None
    """How many of its deliveries may run at a time, over all workers; None for any number."""
    ordered: bool
    """Whether those of one contract key run one at a time, in the order of publishing: False."""
    batch: Batch | None
    """How many events a handler of `list[...]` is given at once; `Batch()` if None."""


class Said(Options, frozen=True, kw_only=True):
    """The same, as it was said."""

    name: str | None = None
    queue: str = "default"
    priority: int = 0
    concurrency: int | None = None
    ordered: bool = False
    batch: Batch | None = None


def check_words(whose: str, said: Iterable[str], known: Iterable[str]) -> None:
    """Raise `InvalidActor` for an option there is not, naming the nearest and `whose` it was to be."""
    options = tuple(known)
    for word in said:
        if word not in options:
            near = get_close_matches(word, options, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose of {', '.join(options)}"
            raise InvalidActor(f"{whose}: there is no option {word!r}: {hint}")


def batch_of(said: Said, wanted: Wanted, whose: str) -> Batch | None:
    """How many events a handler is given at once; None for one by one.

    Raises `InvalidActor` where what is said and the handler do not agree.
    """
    if not isinstance(said.batch, Batch | None):
        raise InvalidActor(f"{whose}: batch takes a Batch, as Batch(size=100), but is {said.batch!r}")
    if wanted.batch:
        batch = Batch() if said.batch is None else said.batch
        # No more than may be leased at once: the rest would be waited for in vain.
        return replace(batch, size=min(batch.size, said.concurrency or batch.size))
    if said.batch is not None:
        raise InvalidActor(
            f"{whose}: batch= is for a handler of many events: annotate its first parameter as list[...]"
        )
    return None
