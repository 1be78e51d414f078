"""What may be said of an event, or of many at once, when they are published."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from ..messages.event import Event
from ..messages.event_options import OptionsGiven

When = str | float | datetime | timedelta
"""When an event is due: a wait or a moment; see `callboard.messages.timing.read_after`."""

KeyOf = Callable[[Event], str | None]
"""Makes the dedup key of an event; None for the one it has by its contract."""


class PublishOptions(OptionsGiven, total=False):
    """What may be said of an event when it is published."""

    after: When | None
    dedup_key: str | None
    attributes: Mapping[str, str] | None
    correlation_id: str | None
    required: bool
