"""What became of single items of an event that holds many, as plain types."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from .delivery import ErrorRecord, error_record

LONGEST_ITEM_ERROR = 120
"""Characters of an exception's text that the record of an item keeps: there may be thousands of them."""


class ItemStatus(StrEnum):
    """What became of one item."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class ItemRecord(msgspec.Struct, frozen=True, gc=False):
    """What the ledger keeps of one item: what its latest try came to. Its repr shows no error's text."""

    key: str
    status: ItemStatus
    attempts: int
    """Tries that came to an end: one that its worker or a timeout cut short is none."""
    started_at: int
    """When the latest of them began, epoch milliseconds of the server's clock."""
    ended_at: int
    error: ErrorRecord | None = None
    """Why it failed or was skipped."""
    rejected: bool = False
    """It failed for good, and is not tried again."""
    loop: str = ""
    """The name of its loop, for a handler that has several."""

    @property
    def field(self) -> str:
        """What tells it from all other items of its delivery."""
        return field_of(self.loop, self.key)

    @property
    def is_done(self) -> bool:
        """Whether it is not tried again."""
        return self.status is not ItemStatus.FAILED or self.rejected

    def __repr__(self) -> str:
        error = f" {self.error.type}" if self.error else ""
        return f"<ItemRecord {self.status}{' for good' * self.rejected} attempts={self.attempts}{error}>"


class ItemCounts(msgspec.Struct, frozen=True, gc=False):
    """How the items of one attempt fared."""

    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    """Those that an earlier attempt was done with, and those that the handler skipped."""
    not_done: int = 0
    """Those that were begun and not ended, and those that the handler did not come to, as far as known."""


def field_of(loop: str, key: str) -> str:
    """What tells an item from all others of its delivery; no loop's name holds a colon."""
    return f"{loop}:{key}"


def item_error(error: BaseException, at: int, secrets: Sequence[str] = ()) -> ErrorRecord:
    """The record of an item's exception; `secrets` are not to be in it."""
    full = error_record(error, at, secrets)
    return ErrorRecord(full.type, full.message[:LONGEST_ITEM_ERROR], at)
