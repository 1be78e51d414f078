"""One attempt, from a delivery to its settlement: what worker processes and the harness of tests share."""

import asyncio
import time

from msgspec.structs import replace

from ..messages.delivery import NO_HISTORY, Delivery, Outcome, OutcomeKind, Reason
from ..messages.envelope import Envelope
from ..middleware.attempt import Attempt
from ..middleware.guarded import Guarded, fault
from ..middleware.unknown import unknown
from .hooks import EventHooks
from .mailbox.mailbox import ENDED_RETENTION_MS, MIN_WINDOW_MS, Settlement
from .mailbox.records import Facts

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


def settlement_of(attempt: Attempt, outcome: Outcome) -> Settlement:
    """What is to be made durable of an attempt."""
    kind = outcome.kind
    if kind in COMPLETED:
        # A layer of the user's may have answered before the envelope was read.
        envelope: Envelope | None = getattr(attempt, "envelope", None)
        window_ms = attempt.policy.contracts[envelope.type] if envelope else MIN_WINDOW_MS
        published = tuple(attempt.published) if attempt.published else ()
        if attempt.delivery.history is NO_HISTORY and attempt.items is None and not attempt.policy.retention:
            return Settlement(attempt.delivery, outcome, window_ms, None, published)
        return _recorded(attempt, Settlement(attempt.delivery, outcome, window_ms, None, published))
    if kind is OutcomeKind.RELEASED:
        return Settlement(attempt.delivery, outcome, MIN_WINDOW_MS)
    charged = attempt.history(outcome.error)
    return _recorded(attempt, Settlement(attempt.delivery, outcome, MIN_WINDOW_MS, charged))


def _recorded(attempt: Attempt, settlement: Settlement) -> Settlement:
    """The same with what its record tells: of a success only if it has a history or items, or its contract
    says so."""
    envelope: Envelope | None = getattr(attempt, "envelope", None)
    said = attempt.policy.retention.get(envelope.type) if envelope else None
    if settlement.outcome.kind in COMPLETED:
        if said is None and attempt.delivery.history is NO_HISTORY and not attempt.has_ledger:
            return settlement
        settlement = replace(settlement, history=attempt.history(None))
    retention_ms = _usual_retention(settlement) if said is None else said
    return replace(settlement, facts=_facts_of(attempt, envelope), retention_ms=retention_ms)


def _usual_retention(settlement: Settlement) -> int:
    """Who looks for a success does so soon: its record stays as long as it is known that it was one."""
    if settlement.outcome.kind in COMPLETED:
        return min(settlement.window_ms, ENDED_RETENTION_MS)
    return ENDED_RETENTION_MS


def _facts_of(attempt: Attempt, envelope: Envelope | None) -> Facts:
    delivery, deadline = attempt.delivery, attempt.deadline
    ran_ms = int((time.monotonic() - deadline.began) * 1000) if deadline else 0
    started_at = delivery.clock.now() - ran_ms if deadline else 0
    if envelope is None:
        return Facts(owner=delivery.owner, started_at=started_at)
    return Facts(
        envelope.id,
        envelope.type,
        envelope.dataversion,
        envelope.subject or "",
        envelope.correlationid or "",
        envelope.causationid or "",
        delivery.owner,
        started_at,
    )


def settlement_of_unknown(delivery: Delivery) -> Settlement:
    """What is to be made durable of a delivery for an actor that is not here."""
    outcome = unknown(delivery, Reason.UNKNOWN_ACTOR, f"no actor {delivery.actor!r} here")
    earlier, told = delivery.history, outcome.error
    history = replace(earlier, first_error=earlier.first_error or told, last_error=told)
    return Settlement(delivery, outcome, history=history, facts=Facts(owner=delivery.owner))
