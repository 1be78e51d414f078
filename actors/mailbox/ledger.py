"""The interface of a mailbox's ledger: what became of the single items of a delivery."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ...messages.delivery import Delivery
from ...messages.items import ItemRecord


class Notes(msgspec.Struct, frozen=True, gc=False):
    """What is to be written of the items of one delivery."""

    delivery: Delivery
    records: Sequence[ItemRecord]


class Ledger(Protocol):
    """Keeps a record for each item of the deliveries whose handlers work through many.

    It goes with the delivery, and is kept with its record when it has ended: a success of which no
    record is kept drops it. It goes along when a dead letter is replayed to its own actor, and what was
    given up until then is to be tried again: it is `rejected` no more. Every method raises
    `MailboxUnavailable` or `MailboxRefused` as a mailbox's do.
    """

    def write(self, notes: Sequence[Notes]) -> list[bool]:
        """Write records in place of earlier ones of the same items; False where the lease was taken over.

        What is written for a delivery that is not held any more changes nothing. From the first write on
        its history says that it has items.
        """
        ...

    def of(self, delivery_id: str) -> list[ItemRecord]:
        """The records of a delivery that has not ended, in no order."""
        ...

    def of_ended(self, record_id: str) -> list[ItemRecord]:
        """The records of a delivery that has ended, by the id of its record; none if they went along with a
        replay."""
        ...
