"""How `send` hands a chunk of events over: to the mailbox, or, for a dry run, to nobody."""

from collections.abc import Callable, Sequence

import msgspec

from ..actors.app import Callboard
from ..actors.publisher import Receipt
from ..messages.codec import encode
from ..messages.errors import ManyRefused, PublishError
from ..messages.event import Event, check_key

Result = Receipt | PublishError | None
"""What became of an event; None when it was only checked."""

Post = Callable[[Sequence[Event]], Sequence[Result]]
"""Hands over events; a result for each, in order. Raises a `MailboxError`."""


class Options(msgspec.Struct, frozen=True):
    """What holds for all events of a command."""

    after: str | int | None
    attributes: dict[str, str]
    key: Callable[[Event], str] | None
    """Makes the dedup key; None for what the contract says."""


def live(app: Callboard, options: Options) -> Post:
    """Publishes, and lets no refused event keep its neighbours back."""

    def post(events: Sequence[Event]) -> Sequence[Result]:
        try:
            return app.publish_many(
                events, after=options.after, dedup_key=options.key, attributes=options.attributes
            )
        except ManyRefused as some:
            results = {**some.receipts, **some.refused}
            return [
                result for _, result in sorted(results.items()) if isinstance(result, Receipt | PublishError)
            ]

    return post


def dry(app: Callboard, options: Options) -> Post:
    """Checks what publishing would check before it asks the mailbox."""

    def check(event: Event) -> Result:
        try:
            encode(event, id="dry-run", source=app.name, attributes=options.attributes)
            if options.key is not None:
                check_key(options.key(event))
        except PublishError as error:
            return error
        return None

    return lambda events: [check(event) for event in events]
