"""The ledger of the memory mailbox."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from msgspec import structs

from ....messages.items import ItemRecord
from ..ledger import Notes
from .deliveries import Deliveries


class MemoryLedger:
    """Keeps items beside the deliveries of a `MemoryMailbox`; implements `Ledger`.

    `entered` is how the mailbox is entered: its lock held, and the time told.
    """

    def __init__(self, deliveries: Deliveries, entered: Callable[[], AbstractContextManager[int]]) -> None:
        self._deliveries = deliveries
        self._entered = entered

    def write(self, notes: Sequence[Notes]) -> list[bool]:
        """See `Ledger.write`."""
        with self._entered():
            return [self._write(each) for each in notes]

    def of(self, delivery_id: str) -> list[ItemRecord]:
        """See `Ledger.of`."""
        with self._entered():
            return list(self._deliveries.items_of(delivery_id).values())

    def of_ended(self, record_id: str) -> list[ItemRecord]:
        """See `Ledger.of_ended`."""
        with self._entered() as now:
            return self._deliveries.records.items_of(record_id, now)

    def _write(self, notes: Notes) -> bool:
        live = self._deliveries.held(notes.delivery)
        if notes.records and live is not None:
            live.history = structs.replace(live.history, items=True)
            live.items.update({record.field: record for record in notes.records})
        return live is not None or not notes.records
