"""What an actor says of its dedup: the window, what makes the key, and where keys are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from ...messages.timing import duration_ms
from .store import DedupStore

Length = str | float | timedelta
"""A length of time: "10s", "5 minutes", seconds, or a timedelta."""

KeyOf = str | Sequence[str] | Callable[..., str]
"""What makes a dedup key: a field's name, several, or a callable of the event."""

DEFAULT_WINDOW_MS = 24 * 3_600_000
"""How long a completion is remembered where neither the option nor a contract says it: a day."""

DEFAULT_LEASE = "30s"
"""How long a key outlives the worker that was lost with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dedup:
    """How the deliveries of an actor are told from ones that were handled before.

    Parameters:
        window: how long a completed key makes the same key a duplicate, as "7 days", counted from its
            completion; if None the contract's window, and a day for a plain dramatiq actor.
        key: what makes the key: the name of a field (of a plain actor: of a keyword argument), several
            names, or a callable that is given the event (or the arguments) and returns text. If None it is
            the delivery's own key.
        store: where keys are kept; None for the mailbox, which does it without a further round trip.
        lease: how long a worker may hold a key without renewing it; it renews every third of that.

    Raises `ValueError` when a length of time cannot be read or is nothing, or the key is not of these kinds.
    """

    window: Length | None = None
    key: KeyOf | None = None
    store: DedupStore | None = None
    lease: Length = DEFAULT_LEASE
    window_ms: int | None = field(init=False, repr=False, default=None)
    """`window` as it was read."""
    lease_ms: int = field(init=False, repr=False, default=0)
    """`lease` as it was read."""

    def __post_init__(self) -> None:
        if self.window is not None:
            object.__setattr__(self, "window_ms", _some_ms(self.window, "window"))
        object.__setattr__(self, "lease_ms", _some_ms(self.lease, "lease"))
        if not (self.key is None or callable(self.key) or _are_names(self.key)):
            raise ValueError(f"key must be a field's name, several, or a callable, but is {self.key!r}")

    @property
    def fields(self) -> tuple[str, ...]:
        """The names that make the key; none if something else makes it."""
        if self.key is None or callable(self.key):
            return ()
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)


def _some_ms(length: Length, name: str) -> int:
    ms = duration_ms(length, name=name)
    if ms == 0:
        raise ValueError(f"{name} must be longer than nothing: without dedup leave `dedup` out")
    return ms


def _are_names(key: object) -> bool:
    names: Sequence[object] = (key,) if isinstance(key, str) else key if isinstance(key, Sequence) else ()
    return bool(names) and all(isinstance(name, str) and name for name in names)
