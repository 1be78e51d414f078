"""What a mailbox knows of which event came of which: for as long as their deliveries are remembered.

An event that begins something is not written down: its correlation id is its own id, and what came of it
tells its name.
"""

from typing import Protocol

import msgspec

TOLD_OF_CAUSE = 12
"""Characters at the end of an event's id by which what came of it names it; random ones in a UUID 7."""

MOST_SCANNED = 100_000
"""Entries that one look goes through at most, those of other correlations among them."""


class CameOf(msgspec.Struct, frozen=True, gc=False):
    """What an event came of, for one that has inherited its correlation or was given it."""

    event: str
    """The event's own id."""
    correlation: str
    cause: str = ""
    """The id of the event whose handler published it; empty if none did."""
    cause_name: str = ""
    """The contract's name of that event."""


class RelatedEvent(msgspec.Struct, frozen=True):
    """An event of a correlation."""

    id: str
    name: str
    """The contract's."""
    cause: str = ""
    """The last `TOLD_OF_CAUSE` characters of the id of the event whose handler published it, if one did."""


class Correlated(msgspec.Struct, frozen=True):
    """The events that have a correlation id in common, in the order of their ids."""

    correlation: str
    events: tuple[RelatedEvent, ...]
    is_whole: bool
    """False if there are more than were asked for."""


class Correlations(Protocol):
    """Looks events up that belong together. Raises what `Mailbox` does."""

    def of(self, identity: str, most: int) -> Correlated:
        """The events of a correlation id, or of that of an event that has inherited one.

        Of an event that nothing came of and that came of none there are none.
        """
        ...
