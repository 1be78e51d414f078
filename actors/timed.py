"""A worker's mailbox with its calls timed, where metrics are on."""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from ..messages.delivery import Delivery
from ..observability.recorder import Recorder
from .mailbox.mailbox import Fetched, Mailbox, Settlement

STORE = "mailbox"
"""What the mailbox is called among stores."""


def timed(mailbox: Mailbox, recorder: Recorder) -> Mailbox:
    """The same mailbox; what is called for groups of deliveries is recorded."""
    return cast("Mailbox", _TimedMailbox(mailbox, recorder))


class _TimedMailbox:
    """Passes on whatever it does not time."""

    def __init__(self, mailbox: Mailbox, recorder: Recorder) -> None:
        self._mailbox = mailbox
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)

    def fetch(self, queue: str, limit: int, **said: Any) -> Fetched:
        """See `Mailbox.fetch`; what it took over from other workers is counted."""
        call = partial(self._mailbox.fetch, queue, limit, **said)
        fetched = self._recorder.timed(STORE, "fetch", call)
        if fetched.taken_over:
            self._recorder.taken_over(queue, fetched.taken_over, fetched.poisoned)
        return fetched

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """See `Mailbox.settle`."""
        return self._recorder.timed(STORE, "settle", partial(self._mailbox.settle, settlements))

    def renew(self, deliveries: Sequence[Delivery], lease_ms: int) -> list[Delivery]:
        """See `Mailbox.renew`."""
        return self._recorder.timed(STORE, "renew", partial(self._mailbox.renew, deliveries, lease_ms))
