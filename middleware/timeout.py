"""The innermost step: calls the handler for no longer than its timeout, and makes an outcome of its end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from dramatiq import RateLimitExceeded
from dramatiq.middleware import Shutdown, TimeLimitExceeded

from ..messages.delivery import (
    SUCCEEDED,
    ErrorRecord,
    Outcome,
    OutcomeKind,
    Reason,
    error_record,
    storable,
)
from ..messages.errors import LedgerUnreadable
from .attempt import Attempt
from .deadline import Watch
from .partial import PartialFailure
from .signals import DiscardEvent, HandlerTimeout, RejectEvent, TimeIsUp

DEFAULT_TIMEOUT = 5.0
"""Seconds an attempt may take where nothing else is said."""

CONTENTION_MS = 1000
"""How long a delivery waits that ran into a rate limit; that is no failure, and charges no attempt."""

UNREADABLE_MS = 2000
"""How long a delivery waits of which it cannot be read what became of its items; that charges no attempt."""

LONGEST_TIMEOUT = 60.0
"""Seconds an attempt may ask for at most, unless the app allows more."""

TOO_LATE = Outcome(OutcomeKind.RETRIED, detail="it was given up before it ended")
"""What a handler comes to in whose place something else was settled; nobody settles this."""


def call(watch: Watch, invoke: Callable[[Attempt], Any], attempt: Attempt) -> Outcome:
    """Call a `def` handler on this thread."""
    attempt.started = True
    if attempt.timeout is None:
        try:
            attempt.result = invoke(attempt)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its outcome
            return failure(attempt, error)
        return returned(attempt)
    deadline = attempt.deadline = watch.of_thread()
    raised: BaseException | None = None
    has_ended = False
    try:
        deadline.arm(attempt, attempt.timeout)
        attempt.result = invoke(attempt)
        has_ended = True
    except BaseException as error:  # noqa: BLE001 - as above
        raised = error
    # An interruption that is under way is delivered where the next function begins, at the latest inside of
    # the `try`: so nothing may be called between the handler and this. It comes once.
    try:
        deadline.disarm()
    except TimeIsUp:
        deadline.disarm()
    if attempt.given_up:
        return TOO_LATE
    return returned(attempt) if has_ended or raised is None else failure(attempt, raised)


async def acall(watch: Watch, invoke: Callable[[Attempt], Awaitable[Any]], attempt: Attempt) -> Outcome:
    """Call an `async def` handler in this task; raises `CancelledError` when the task itself is cancelled."""
    attempt.started = True
    deadline = None if attempt.timeout is None else watch.of_task()
    attempt.deadline = deadline
    try:
        if deadline is not None and attempt.timeout is not None:
            deadline.arm(attempt, attempt.timeout)
        attempt.result = await invoke(attempt)
    except GeneratorExit:
        raise
    except BaseException as error:
        if deadline is not None:
            deadline.disarm()
        if isinstance(error, asyncio.CancelledError):
            if _is_cancelled():
                raise  # the worker stops: that is not the handler's outcome
            if deadline is not None and deadline.fired:
                error = TimeIsUp()
        return TOO_LATE if attempt.given_up else failure(attempt, error)
    finally:
        if deadline is not None:
            deadline.disarm()
            watch.forget(deadline)
    return TOO_LATE if attempt.given_up else returned(attempt)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def returned(attempt: Attempt) -> Outcome:
    """What it means that the handler has returned: success, unless it was not done with all of its items."""
    if attempt.items is None:
        return SUCCEEDED
    partial = attempt.items.conclude()
    return SUCCEEDED if partial is None else failure(attempt, partial)


def failure(attempt: Attempt, error: BaseException) -> Outcome:
    """What an exception of the handler means, before the retry layer has decided."""
    if isinstance(error, DiscardEvent):
        return Outcome(OutcomeKind.DISCARDED, Reason.REJECTED, storable(error.detail, attempt.secrets()))
    if isinstance(error, RejectEvent):
        return Outcome(OutcomeKind.DEAD, Reason.REJECTED, storable(error.detail, attempt.secrets()))
    if isinstance(error, Shutdown):
        return Outcome(OutcomeKind.RELEASED, detail="the worker stops")
    if isinstance(error, RateLimitExceeded):
        return Outcome(OutcomeKind.RELEASED, detail="over a rate limit", delay_ms=CONTENTION_MS)
    if isinstance(error, LedgerUnreadable):
        why = storable(error, attempt.secrets())
        return Outcome(OutcomeKind.RELEASED, detail=why, delay_ms=UNREADABLE_MS)
    interrupted = isinstance(error, TimeLimitExceeded)
    if interrupted:
        error = timed_out(attempt).with_traceback(error.__traceback__)
    attempt.exception = error
    record = _recorded(attempt, error, deep=not interrupted)
    if isinstance(error, PartialFailure) and not error.unfinished:
        return Outcome(OutcomeKind.DEAD, Reason.REJECTED, error=record)
    return Outcome(OutcomeKind.RETRIED, error=record)


def _recorded(attempt: Attempt, error: BaseException, *, deep: bool) -> ErrorRecord:
    return error_record(error, attempt.delivery.clock.now(), attempt.secrets(), deep=deep)


def timed_out(attempt: Attempt) -> HandlerTimeout:
    """What a handler that was interrupted has failed with."""
    words = f" of {attempt.deadline.limit:g} s" if attempt.deadline else ""
    return HandlerTimeout(f"interrupted after its timeout{words}")
