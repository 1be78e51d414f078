"""What is written in the place of a settlement that cannot be: nothing may end unseen."""

from collections.abc import Iterator

import msgspec

from ..messages.delivery import ErrorRecord, History, Outcome, OutcomeKind, Reason, storable
from .mailbox.mailbox import Settlement


def plainer(settlement: Settlement, error: BaseException) -> Iterator[Settlement]:
    """First the same with its texts made clean, then a dead letter that says what went wrong."""
    outcome, history = settlement.outcome, settlement.history
    detail = outcome.detail and storable(outcome.detail)
    yield msgspec.structs.replace(
        settlement,
        outcome=msgspec.structs.replace(outcome, detail=detail),
        history=history and _clean_history(history),
    )
    unwritten = f"its outcome {outcome.kind.value} cannot be written ({type(error).__name__})"
    dead = Outcome(OutcomeKind.DEAD, Reason.REJECTED, storable(unwritten))
    charged = _clean_history(history or settlement.delivery.history)
    yield msgspec.structs.replace(settlement, outcome=dead, history=charged, postings=())


def _clean_history(history: History) -> History:
    first, last = history.first_error, history.last_error
    return msgspec.structs.replace(
        history, first_error=first and _clean_error(first), last_error=last and _clean_error(last)
    )


def _clean_error(error: ErrorRecord) -> ErrorRecord:
    return msgspec.structs.replace(error, type=storable(error.type), message=storable(error.message))
