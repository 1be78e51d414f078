"""How `send` hands a chunk of events over: to the mailbox, or, for a dry run, to nobody."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from ..actors.app import Callboard
from ..actors.prepared import Prepared
from ..actors.publish_options import KeyOf
from ..actors.receipt import Receipt
from ..messages.errors import ManyRefused, PublishError
from ..messages.event import Event
from ..messages.event_options import EventOptions
from ..messages.timing import After

Result = Receipt | PublishError | None
"""What became of an event; None when it was only checked."""

Post = Callable[[Sequence[Event]], Sequence[Result]]
"""Hands over events; a result for each, in order. Raises a `MailboxError`."""


class Options(msgspec.Struct, frozen=True):
    """What holds for all events of a command."""

    after: After | None
    attributes: dict[str, str]
    key: KeyOf | None
    """Makes the dedup key; None for what the contract says."""
    options: EventOptions | None
    """What is said of their attempts."""


def live(app: Callboard, options: Options) -> Post:
    """Publishes, and lets no refused event keep its neighbours back."""

    def post(events: Sequence[Event]) -> Sequence[Result]:
        try:
            return app.publisher.publish_many(_prepared(app, options, events))
        except ManyRefused as some:
            results = {**some.receipts, **some.refused}
            return [
                result for _, result in sorted(results.items()) if isinstance(result, Receipt | PublishError)
            ]

    return post


def dry(app: Callboard, options: Options) -> Post:
    """Checks all that publishing checks before it asks the mailbox."""

    def check(events: Sequence[Event]) -> Sequence[Result]:
        checked = _prepared(app, options, events)
        return [each if isinstance(each, PublishError) else None for each in checked]

    return check


def _prepared(app: Callboard, options: Options, events: Sequence[Event]) -> Iterator[Prepared | PublishError]:
    return app.publisher.prepare_many(
        events,
        after=options.after,
        dedup_key=options.key,
        attributes=options.attributes,
        options=options.options,
    )
