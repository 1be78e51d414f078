"""How an event travels: CloudEvents 1.0 attributes as JSON, with the event's own fields last in `data`."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from .event_options import EventOptions

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An event's attributes on the wire; what has its default is left out. Its repr shows no content."""

    specversion: Literal["1.0"]
    """The version of CloudEvents."""
    id: _Text
    source: _Text
    """The app that published it."""
    type: _Text
    """The contract's name."""
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    """When it was published, by the publisher's clock, in UTC."""
    dataversion: Annotated[int, msgspec.Meta(ge=1)] = 1
    """The contract's version."""
    subject: str | None = None
    """The key of the entity it is about."""
    correlationid: str | None = None
    """The same for all that one cause brought about."""
    causationid: str | None = None
    """The id of the event whose handler published it."""
    attributes: dict[str, str] = {}
    """The publisher's own words about it."""
    traceparent: str | None = None
    """The W3C trace context it was published in."""
    sensitive: tuple[str, ...] = ()
    """Where values stand in `data` that may not be shown: JSON pointers in which `*` is any step."""
    options: EventOptions | None = None
    """What the publisher said of its attempts."""
    workflowid: str | None = None
    workflowstep: str | None = None
    data: msgspec.Raw
    """The event's fields, not decoded."""

    def __repr__(self) -> str:
        return f"<Envelope {self.type} v{self.dataversion} id={self.id}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("type", self.type), ("dataversion", self.dataversion), ("id", self.id)]
