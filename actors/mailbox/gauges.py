"""What a mailbox tells metrics of its queues, in a look that stays cheap however many there are."""

from typing import Protocol

from ...observability.state import MailboxState


class Gauges(Protocol):
    """Looks at all queues at once. Raises what `Mailbox` does."""

    def read(self) -> MailboxState:
        """Their state now."""
        ...
