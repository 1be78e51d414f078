"""One attempt, from a delivery to its settlement: what worker processes and the harness of tests share."""

import asyncio

from msgspec.structs import replace

from ..messages.delivery import Delivery, Outcome, OutcomeKind, Reason
from ..messages.envelope import Envelope
from ..middleware.attempt import Attempt
from ..middleware.guarded import Guarded, fault
from ..middleware.unknown import unknown
from .hooks import EventHooks
from .mailbox.mailbox import MIN_WINDOW_MS, Settlement

COMPLETED = (OutcomeKind.SUCCEEDED, OutcomeKind.DUPLICATE)
"""What is remembered for the contract's window."""


def perform(hooks: EventHooks, guarded: Guarded, attempt: Attempt) -> Outcome:
    """Run a `def` handler on this thread; never raises."""
    try:
        if not hooks.any:
            return guarded.perform(attempt)
        with hooks.around(attempt.delivery) as hooked:
            hooked.outcome = hooked.skipped or guarded.perform(attempt)
            return hooked.outcome
    except BaseException as error:  # noqa: BLE001 - a layer's fault must not strand the delivery
        return fault(attempt, error)


async def aperform(hooks: EventHooks, guarded: Guarded, attempt: Attempt) -> Outcome:
    """Run an `async def` handler in this task; raises only when the task is cancelled."""
    try:
        if not hooks.any:
            return await guarded.aperform(attempt)
        with hooks.around(attempt.delivery) as hooked:
            hooked.outcome = hooked.skipped or await guarded.aperform(attempt)
            return hooked.outcome
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return fault(attempt, error)


def settlement_of(attempt: Attempt, guarded: Guarded, outcome: Outcome) -> Settlement:
    """What is to be made durable of an attempt."""
    kind = outcome.kind
    if kind in COMPLETED:
        # A layer of the user's may have answered before the envelope was read.
        envelope: Envelope | None = getattr(attempt, "envelope", None)
        window_ms = guarded.policy.contracts[envelope.type] if envelope else MIN_WINDOW_MS
        history = attempt.history(None) if attempt.has_ledger else None
        if attempt.published:
            return Settlement(attempt.delivery, outcome, window_ms, history, tuple(attempt.published))
        if history is not None:
            return Settlement(attempt.delivery, outcome, window_ms, history)
        return Settlement(attempt.delivery, outcome, window_ms)
    charged = None if kind is OutcomeKind.RELEASED else attempt.history(outcome.error)
    return Settlement(attempt.delivery, outcome, MIN_WINDOW_MS, charged)


def settlement_of_unknown(delivery: Delivery) -> Settlement:
    """What is to be made durable of a delivery for an actor that is not here."""
    outcome = unknown(delivery, Reason.UNKNOWN_ACTOR, f"no actor {delivery.actor!r} here")
    earlier, told = delivery.history, outcome.error
    history = replace(earlier, first_error=earlier.first_error or told, last_error=told)
    return Settlement(delivery, outcome, history=history)
