"""The layer that writes one line for each attempt that did not succeed; it carries no body."""

from collections.abc import Generator
from typing import TYPE_CHECKING

import structlog

from ..messages.delivery import Outcome, OutcomeKind

if TYPE_CHECKING:
    from .attempt import Attempt

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.worker")


def log(attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
    """The layer."""
    outcome = yield
    if outcome.kind is not OutcomeKind.SUCCEEDED:
        log_outcome(attempt, outcome)
    return outcome


def log_outcome(attempt: "Attempt", outcome: Outcome) -> None:
    """Write the line."""
    error = outcome.error
    logger.warning(
        outcome.kind.value,
        actor=attempt.policy.actor,
        attempt=attempt.delivery.attempt,
        reason=outcome.reason.value if outcome.reason else None,
        error=error.type if error else None,
        retry_in_ms=outcome.delay_ms or None,
        event_id=attempt.envelope.id if hasattr(attempt, "envelope") else None,
    )
