"""What becomes of a delivery whose actor or contract this worker does not know: it waits for one that does.

While a new version is deployed, workers that know it and others take from the same queue.
"""

from ..messages.delivery import Delivery, ErrorRecord, Outcome, OutcomeKind, Reason

UNKNOWN_FOR_MS = 3_600_000
"""How long a delivery waits for a worker that knows it: a deploy takes a while."""

_FIRST_DELAY_MS, _LONGEST_DELAY_MS = 1_000, 600_000


def unknown(delivery: Delivery, reason: Reason, what: str) -> Outcome:
    """Another try, uncharged, after as long as it has waited already; dead after an hour.

    The error it carries tells since when it has been unknown.
    """
    now, told = delivery.clock.now(), delivery.history.last_error
    if told is None or told.type != reason.value:
        told = ErrorRecord(reason.value, what, now)
    waited = now - told.at
    if waited >= UNKNOWN_FOR_MS:
        return Outcome(OutcomeKind.DEAD, reason, told.message, told)
    delay_ms = min(max(waited, _FIRST_DELAY_MS), _LONGEST_DELAY_MS)
    return Outcome(OutcomeKind.RETRIED, None, what, told, delay_ms)
