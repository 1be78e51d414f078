"""The layer that writes one line for each attempt; it carries no body, and no text of an exception."""

from collections.abc import Generator
from typing import TYPE_CHECKING

import structlog

from ..messages.delivery import Outcome, OutcomeKind
from ..observability.tracebacks import where

if TYPE_CHECKING:
    from .attempt import Attempt

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.worker")


def log(attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
    """The layer for what did not succeed: successes cost nothing."""
    outcome = yield
    if outcome.kind is not OutcomeKind.SUCCEEDED:
        log_outcome(attempt, outcome)
    return outcome


def log_all(attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
    """The layer for successes too, for who has asked for them."""
    outcome = yield
    log_outcome(attempt, outcome)
    return outcome


def log_outcome(attempt: "Attempt", outcome: Outcome) -> None:
    """Write the line; where an exception came from is told, and what it says is in the record."""
    error, exception = outcome.error, attempt.exception
    fields = {
        "reason": outcome.reason.value if outcome.reason else None,
        "error": error.type if error else None,
        "where": where(exception) if error and exception else None,
        "retry_in_ms": outcome.delay_ms or None,
    }
    line = attempt.log_fields() | {name: value for name, value in fields.items() if value is not None}
    match outcome.kind:
        case OutcomeKind.SUCCEEDED:
            logger.debug(outcome.kind.value, **line)
        case OutcomeKind.DUPLICATE | OutcomeKind.RELEASED:
            logger.info(outcome.kind.value, **line)
        case OutcomeKind.DEAD:
            logger.error(outcome.kind.value, **line)
        case _:
            logger.warning(outcome.kind.value, **line)
