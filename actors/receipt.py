"""What a publish answers: a receipt for each event, or why it was refused."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache

import msgspec

from ..messages.errors import MailboxUnavailable, PayloadConflict, PublishError
from .mailbox.mailbox import Posting, Verdict
from .prepared import Prepared


class DeliveryReceipt(msgspec.Struct, frozen=True, gc=False):
    """One delivery that a publish made, or found."""

    actor: str
    duplicate: bool
    """A delivery with the same key waits, runs, or was completed within its window."""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What became of a published event."""

    id: str
    """The event's id. A duplicate's event was accepted earlier, under another."""
    deliveries: tuple[DeliveryReceipt, ...]
    """One for each actor that subscribes, in the order of definition."""


def result_of(event: Prepared, posting: Posting, verdicts: Sequence[Verdict]) -> Receipt | PublishError:
    """What the mailbox's verdicts on an event mean for its publisher."""
    if Verdict.CONFLICT in verdicts:
        return _conflict(event, posting, verdicts)
    return Receipt(
        event.id,
        tuple(
            [
                # A duplicate of a key made just now can only be this call, whose first reply was lost.
                _delivery_receipt(target.actor, verdict is Verdict.DUPLICATE and target.key != event.id)
                for target, verdict in zip(posting.targets, verdicts, strict=True)
            ]
        ),
    )


_delivery_receipt = lru_cache(1024)(DeliveryReceipt)
"""Receipts are values, and there are few different ones."""


def _conflict(event: Prepared, posting: Posting, verdicts: Sequence[Verdict]) -> PayloadConflict:
    actors = ", ".join(
        target.actor
        for target, verdict in zip(posting.targets, verdicts, strict=True)
        if verdict is Verdict.CONFLICT
    )
    return PayloadConflict(
        f"{event.name}: its dedup key is known to {actors} with another body (payload_conflict): use "
        "another key for what is another event"
    )


def counted(
    results: Sequence[Receipt | PublishError], sent: Sequence[tuple[int, Prepared, Posting]]
) -> Iterator[tuple[str, int, int]]:
    """What metrics are told of events that the mailbox has taken: name, deliveries, duplicates among them."""
    for position, event, _ in sent:
        receipt = results[position]
        if isinstance(receipt, Receipt):
            made = receipt.deliveries
            yield event.name, len(made), sum(each.duplicate for each in made)


def check_refusals(results: Sequence[Receipt | PublishError], may_be_stored: AbstractSet[int]) -> None:
    """Raise `MailboxUnavailable` for a refusal that may be wrong, because an earlier try was not answered."""
    for position in sorted(may_be_stored):
        error = results[position]
        if isinstance(error, PublishError):
            raise MailboxUnavailable(
                f"{error}; an earlier try, to which no answer came, may have been accepted"
            ) from error
