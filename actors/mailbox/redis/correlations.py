"""The correlations of the mailbox on a server."""

from ..correlations import MOST_SCANNED, Correlated, RelatedEvent
from .records import Ask


class RedisCorrelations:
    """Looks up which events of a workspace on a server belong together; implements `Correlations`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def of(self, identity: str, most: int) -> Correlated:
        """See `Correlations.of`."""
        correlation, is_whole, *flat = self._ask("related", identity, most, MOST_SCANNED)
        parts = iter([part.decode() for part in flat])
        found = [
            RelatedEvent(event, name, cause) for event, cause, name in zip(parts, parts, parts, strict=True)
        ]
        found.sort(key=lambda each: each.id)
        return Correlated(correlation.decode(), tuple(found[:most]), is_whole == 1 and len(found) <= most)
