"""The layer that makes an event of a delivery's bytes; what cannot be read is dead, with its bytes kept.

A contract that is not known here may be known to a newer worker: its event waits for one.
"""

from collections.abc import Generator

from ..messages.catalog import Catalog
from ..messages.codec import decode_envelope
from ..messages.delivery import Outcome, OutcomeKind, Reason
from ..messages.errors import UnknownContract, UnreadableBody
from .attempt import Attempt
from .by_publisher import by_publisher
from .unknown import unknown


class Decode:
    """Reads the envelope, then the event through the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __call__(self, attempt: Attempt) -> Generator[None, Outcome, Outcome]:
        """The layer."""
        try:
            envelope = decode_envelope(attempt.delivery.body)
            if envelope.type not in attempt.policy.contracts:
                raise UnknownContract(f"{attempt.policy.actor} does not subscribe to {envelope.type!r}")
            attempt.envelope = envelope
            attempt.event = self._catalog.read(envelope)
        except UnknownContract as error:
            return unknown(attempt.delivery, Reason.UNKNOWN_CONTRACT, str(error))
        except UnreadableBody as error:
            return Outcome(OutcomeKind.DEAD, Reason.INVALID_BODY, str(error))
        if envelope.options is None:
            return (yield)
        return (yield from by_publisher(attempt, envelope.options))
