"""An event on its way in, checked and encoded, before its routes are known."""

from typing import Any

import msgspec

from ..messages.contract import Kind
from .mailbox.correlations import CameOf


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """An event checked and encoded, not yet routed. Its repr shows no body."""

    id: str
    name: str
    kind: Kind
    body: bytes
    fingerprint: bytes
    key: str
    own_key: bool
    """The key is the event's id, made just now: nobody else can have used it."""
    delay_ms: int
    due_at: int
    required: bool
    entity: str
    """The key of the entity it is about; empty if it names none."""
    said_key: bool
    """The publisher named the key itself, so no actor's dedup option has a say in it."""
    came_of: CameOf | None = None
    """What it came of, if it inherits a correlation."""
    span: Any = None
    """Its `Publishing`, where traces are configured."""

    def __repr__(self) -> str:
        return f"<Prepared {self.name} id={self.id}>"
