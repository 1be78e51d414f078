"""How a mailbox stores an event for an actor: a header that tells of it, then the envelope as it came in."""

FINGERPRINT_SIZE = 16
ACCEPTED_END = FINGERPRINT_SIZE + 13
"""Where the moment of acceptance ends in a header, and the moment when it was due begins."""
HEADER_SIZE = ACCEPTED_END + 13
"""Bytes before a body: fingerprint (16), accepted at and due at (13 digits each)."""


class Stored:
    """What can be read of whatever has header and body in `stored`."""

    __slots__ = ()

    stored: bytes

    @property
    def fingerprint(self) -> bytes:
        """16 hexadecimal digits that tell one body from another."""
        return self.stored[:FINGERPRINT_SIZE]

    @property
    def accepted_at(self) -> int:
        """When the mailbox accepted it, epoch milliseconds of the server's clock."""
        return int(self.stored[FINGERPRINT_SIZE:ACCEPTED_END])

    @property
    def due_at(self) -> int:
        """When it was first due, epoch milliseconds: later than `accepted_at` by the delay asked for."""
        return int(self.stored[ACCEPTED_END:HEADER_SIZE])

    @property
    def body(self) -> bytes:
        """The envelope as it came in, not decoded."""
        return self.stored[HEADER_SIZE:]


def stored_as(fingerprint: bytes, accepted_at: int, due_at: int, body: bytes = b"") -> bytes:
    """Header and body; moments are epoch milliseconds."""
    return fingerprint + b"%013d%013d" % (accepted_at, due_at) + body
