"""Every error Callboard raises, each saying how to mend it."""

from collections.abc import Mapping, Sequence


class CallboardError(Exception):
    """The base of all errors raised by Callboard."""


class ConfigurationError(CallboardError):
    """Raised when settings, contracts or actors are declared wrongly; tells all faults at once."""

    def __init__(self, faults: Sequence[str] | str) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class InvalidContract(ConfigurationError):
    """Raised when an `Event` subclass is declared in a way that cannot work."""


class InvalidActor(ConfigurationError):
    """Raised when a handler's signature or options cannot work."""


class InvalidDuration(CallboardError, ValueError):
    """Raised when words such as "10s" or "5 minutes" cannot be read as a length of time."""


class PublishError(CallboardError):
    """Raised when an event cannot be accepted; nothing of it was stored."""


class InvalidAfter(PublishError, ValueError):
    """Raised when `after` is not a moment later than now and at most one year ahead."""


class InvalidEvent(PublishError, TypeError):
    """Raised when something that is not an instance of a contract is published."""


class InvalidKey(PublishError, ValueError):
    """Raised when a dedup key or an entity key is empty or longer than 255 bytes."""


class InvalidAttributes(PublishError, ValueError):
    """Raised when an event's attributes are not short texts by name."""


class InvalidOption(PublishError, ValueError):
    """Raised when what is said of an event's attempts cannot be, or is more than the app allows."""


class PayloadTooLarge(PublishError, ValueError):
    """Raised when an event with its metadata is larger than the limit; says by how much."""


class UnroutedEvent(PublishError):
    """Raised when nobody subscribes to a `Command`, or to an event published with `required=True`."""


class AmbiguousCommand(PublishError):
    """Raised when two or more actors subscribe to a `Command`, which exactly one must handle."""


class PayloadConflict(PublishError):
    """Raised when a dedup key that is known already comes again with another body."""


class TooMuchPublished(PublishError, ValueError):
    """Raised when one attempt publishes more than can go out with its success; says how to divide it."""


class ManyRefused(PublishError):
    """Raised by `publish_many` after all events were tried, when some were refused.

    `receipts` are those of the accepted events by their position, `refused` the errors by position.
    """

    def __init__(self, receipts: Mapping[int, object], refused: Mapping[int, PublishError]) -> None:
        self.receipts = receipts
        self.refused = refused
        lines = [f"event {position}: {error}" for position, error in list(refused.items())[:5]]
        more = f"\n(+{len(refused) - 5} more)" if len(refused) > 5 else ""  # noqa: PLR2004 - a page of them
        super().__init__(
            f"{len(refused)} of {len(refused) + len(receipts)} events were refused, the others were "
            f"accepted:\n" + "\n".join(lines) + more
        )


class UnreadableBody(CallboardError):
    """Raised when bytes from outside cannot become an event."""


class UnknownContract(CallboardError):
    """Raised when a body or a command line names a contract that is not declared."""


class MailboxError(CallboardError):
    """The base of the errors that a mailbox raises."""


class MailboxUnavailable(MailboxError):
    """Raised when the server cannot be reached or does not answer in time; try again later."""


class MailboxRefused(MailboxError):
    """Raised when the server answers but will not do it (out of memory, read-only, not permitted)."""


class LedgerUnreadable(MailboxError):
    """Raised when it cannot be read which items were done before; that charges no attempt."""


class AttemptLost(CallboardError):
    """Raised in a loop over items when another worker may hold the delivery: what is done now is not kept."""


class InvalidItems(CallboardError, ValueError):
    """Raised when items cannot be told apart, or a loop over them is written in a way that cannot work."""


class StaleRoutes(MailboxError):
    """Raised by a mailbox when a publisher's routes are older than the mailbox's; load them and try again.

    `sent_before` says that an earlier try of the same call was not answered, so that it may have been
    accepted by the routes as they were.
    """

    def __init__(self, what: str, *, sent_before: bool = False) -> None:
        self.sent_before = sent_before
        super().__init__(what)


class UnsuitableServer(MailboxError):
    """Raised when a server is too old, or set up so that it would lose deliveries."""


class StoreError(CallboardError):
    """The base of the errors that a dedup store raises; the handler does not run without its answer."""


class StoreUnavailable(StoreError):
    """Raised when a dedup store cannot be reached or does not answer in time; try again later."""


class StoreRefused(StoreError):
    """Raised when a dedup store answers but will not do it (out of memory, read-only, not permitted)."""


class EmbeddedServerError(MailboxUnavailable):
    """Raised when the embedded server cannot be found, started or reached."""
