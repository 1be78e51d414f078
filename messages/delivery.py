"""What a delivery is, and what an attempt at it can come to, as plain types."""

import time
from collections.abc import Sequence
from enum import StrEnum
from math import inf
from typing import Any, Protocol

import msgspec

from .conceal import concealed, without_credentials
from .origin import origin_of
from .stored import Stored

LONGEST_ERROR = 500
"""Characters of an exception's text that a record keeps."""


class OutcomeKind(StrEnum):
    """What an attempt came to."""

    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    DEAD = "dead"
    DISCARDED = "discarded"
    DUPLICATE = "duplicate"
    RELEASED = "released"


class Reason(StrEnum):
    """Why a delivery is dead or discarded: the same word in records, metrics, logs and filters."""

    MAX_AGE = "max_age"
    MAX_ATTEMPTS = "max_attempts"
    BODY = "body"
    REJECTED = "rejected"
    POISON = "poison"
    INVALID_BODY = "invalid_body"
    UNKNOWN_CONTRACT = "unknown_contract"
    UNKNOWN_ACTOR = "unknown_actor"
    PAYLOAD_CONFLICT = "payload_conflict"
    CANCELLED = "cancelled"
    OPERATOR = "operator"


class ErrorRecord(msgspec.Struct, frozen=True, gc=False):
    """One error as records keep it."""

    type: str
    """The exception's class name."""
    message: str
    """The exception's text, cut to 500 characters."""
    at: int
    """When it happened, epoch milliseconds of the server's clock."""
    origin: str = ""
    """Where it came from, see `origin_of`: the same for the same fault; empty where that is not known."""


def error_record(
    error: BaseException, at: int, secrets: Sequence[str] = (), *, deep: bool = True
) -> ErrorRecord:
    """The record of an exception, whatever its text is like.

    `secrets` are not to be in it; `deep` as for `origin_of`.
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the text is the user's code, and a record must be made all the same
        text = "(its text cannot be made)"
    told = storable(text, secrets)
    return ErrorRecord(storable(type(error).__name__), told, at, origin_of(error, deep=deep))


def storable(text: object, secrets: Sequence[str] = ()) -> str:
    """Text that can be encoded, cut to what a record keeps: half of a surrogate pair cannot be.

    Secrets and what looks like credentials are masked.
    """
    shown = without_credentials(concealed(str(text), secrets))
    return shown[:LONGEST_ERROR].encode("utf-8", "replace").decode()


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the earlier attempts of a delivery."""

    attempts: int = 0
    """Attempts that were charged."""
    crashes: int = 0
    """Attempts that ran alone and whose worker was never heard of again."""
    first_error: ErrorRecord | None = None
    last_error: ErrorRecord | None = None
    items: bool = False
    """Whether the mailbox's ledger may hold items of it."""
    replays: int = 0
    """How often it was replayed with its items: those given up before the last time are tried again."""
    carried: bytes = b""
    """What an attempt leaves to the next one in place of the body; only plain messages have it."""

    def __repr__(self) -> str:
        return f"<History attempts={self.attempts} crashes={self.crashes}>"


NO_HISTORY = History()


class Clock(Protocol):
    """Tells the mailbox's time."""

    def now(self) -> int:
        """Epoch milliseconds."""
        ...


class ServerClock(msgspec.Struct, frozen=True, gc=False):
    """The server's clock as it was read once, carried on by this machine's monotonic one."""

    read_at: int
    """What the server's clock showed, epoch milliseconds."""
    monotonic: float
    """This machine's monotonic clock just before the server was asked, seconds."""

    def now(self) -> int:
        """The server's time now, epoch milliseconds; late by no more than the round trip took."""
        return self.read_at + int((time.monotonic() - self.monotonic) * 1000)


class Delivery(Stored, msgspec.Struct, eq=False):
    """One event for one actor, leased to this worker for one attempt. Its repr shows no body."""

    id: str
    """`actor:key`, unique among the live deliveries of a workspace."""
    queue: str
    fence: int
    """Grows with every lease of this delivery; whoever holds the latest may settle it."""
    stored: bytes
    """Header and body as the mailbox keeps them."""
    clock: Clock
    history: History = NO_HISTORY
    alone: bool = False
    """Handed out alone, because workers that held it before were lost."""
    suspect: bool = False
    """Handed out with others though a worker that held it was lost; the next loss makes it run alone."""
    lost: bool = False
    """Another worker may hold it now: it is not renewed any more, and not started."""
    concluded: bool = False
    """What this attempt came to is known and on its way to the mailbox."""
    owner: str = ""
    """The worker process it is leased to."""
    measured: Any = None
    """What was measured of this attempt, for whoever counts it once it is settled."""
    leased_at: float = inf
    """This machine's monotonic clock (s) before a server was asked for the lease, or last to extend it: it
    ends no earlier than a lease after that. Endless where the mailbox is in the holder's own process."""

    @property
    def actor(self) -> str:
        """The name of the actor it is for."""
        return self.id.partition(":")[0]

    @property
    def key(self) -> str:
        """The dedup key."""
        return self.id.partition(":")[2]

    @property
    def attempt(self) -> int:
        """The number of this attempt, counted from 1."""
        return self.history.attempts + 1

    def __repr__(self) -> str:
        return f"<Delivery {self.actor} attempt={self.attempt} fence={self.fence} queue={self.queue}>"


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What an attempt came to, as the layers of the stack hand it outwards."""

    kind: OutcomeKind
    reason: Reason | None = None
    """Set for `dead` and `discarded`."""
    detail: str | None = None
    """The words a handler gave with its signal, if any."""
    error: ErrorRecord | None = None
    delay_ms: int = 0
    """For `retried` and `released`: how long to wait before the next attempt."""


SUCCEEDED = Outcome(OutcomeKind.SUCCEEDED)
RELEASED = Outcome(OutcomeKind.RELEASED)
