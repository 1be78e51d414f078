"""A handler with layers around it: one implementation of a layer serves `def` and `async def` handlers."""

import asyncio
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import structlog

from ..messages.delivery import RELEASED, Outcome, OutcomeKind
from ..observability.current import current
from ..observability.tracebacks import told
from .attempt import Attempt, Policy
from .deadline import Watch
from .dedup.layer import wants_store
from .layer import Afterwards, Entered, Layer
from .retry import DEFAULT_RETRY, decided
from .timeout import acall, call, failure, timed_out
from .trace import end_own, end_span, traced

if TYPE_CHECKING:
    from ..observability.spans import Spans

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.stack")


class Handler:
    """A user's function, as an actor of Callboard holds it until the stack is put around it.

    `invoke` calls the function with what it wants of an attempt; for an `async def` it returns the
    coroutine. One of batches is called with what it wants of an attempt for many events.
    """

    def __init__(
        self,
        invoke: Callable[[Attempt], Any],
        policy: Policy,
        *,
        is_async: bool = False,
        is_batch: bool = False,
    ) -> None:
        self.invoke = invoke
        self.policy = policy
        self.is_async = is_async
        self.is_batch = is_batch


class Guarded:
    """A handler with the stack around it: runs one attempt and says what it came to, whatever happens."""

    def __init__(self, handler: Handler, layers: Sequence[Layer], watch: Watch) -> None:
        self.handler = handler
        self.is_async = handler.is_async
        self.policy = handler.policy
        self.layers = tuple(layers)
        self.spans: Spans | None = None
        """What begins spans, where traces are configured."""
        self._invoke = handler.invoke
        self._watch = watch
        self._waits = wants_store(handler.policy)
        """Whether a layer waits for a server, and so must not hold the event loop."""

    def perform(self, attempt: Attempt) -> Outcome:
        """Run a `def` handler."""
        if self.spans is None:
            return self._perform(attempt)
        with traced(self.spans, attempt):
            outcome = self._perform(attempt)
            end_own(attempt, outcome)
        return outcome

    async def aperform(self, attempt: Attempt) -> Outcome:
        """Run an `async def` handler; when its task is cancelled the layers see it `released`."""
        if self.spans is None:
            return await self._aperform(attempt)
        with traced(self.spans, attempt):
            outcome = await self._aperform(attempt)
            end_own(attempt, outcome)
        return outcome

    def _perform(self, attempt: Attempt) -> Outcome:
        entered = attempt.entered
        before = current.set(attempt)
        try:
            outcome = self._enter(attempt, entered)
            if outcome is None:
                outcome = call(self._watch, self._invoke, attempt)
                if attempt.given_up:
                    return outcome
            return leave(attempt, entered, outcome) if entered else outcome
        finally:
            current.reset(before)

    async def _aperform(self, attempt: Attempt) -> Outcome:
        entered = attempt.entered
        current.set(attempt)  # of this task alone, so it ends with it
        outcome = await self._aenter(attempt, entered)
        if outcome is None:
            try:
                outcome = await acall(self._watch, self._invoke, attempt)
            except BaseException:
                if not attempt.given_up:
                    leave(attempt, entered, RELEASED)
                raise
            if attempt.given_up:
                return outcome
        return await self._aleave(attempt, entered, outcome) if entered else outcome

    async def _aenter(self, attempt: Attempt, entered: list[Entered]) -> Outcome | None:
        """Run the layers up to the handler; when the task is cancelled meanwhile the layers are left all the
        same, by the thread that enters them or, if it was quicker, here."""
        if not self._waits:
            return self._enter(attempt, entered)
        first = Lock()

        def enter() -> Outcome | None:
            outcome = self._enter(attempt, entered)
            return outcome if first.acquire(blocking=False) else leave(attempt, entered, RELEASED)

        try:
            return await asyncio.shield(asyncio.to_thread(enter))
        except asyncio.CancelledError:
            if not first.acquire(blocking=False):
                leave(attempt, entered, RELEASED)
            raise

    async def _aleave(self, attempt: Attempt, entered: list[Entered], outcome: Outcome) -> Outcome:
        """Leave the layers, on another thread if one may wait for a server."""
        if not self._waits:
            return leave(attempt, entered, outcome)
        return await asyncio.shield(asyncio.to_thread(leave, attempt, entered, outcome))

    def _enter(self, attempt: Attempt, entered: list[Entered]) -> Outcome | None:
        """Run the layers up to the handler; an outcome if one of them answered by itself."""
        for layer in self.layers:
            if isinstance(layer, Afterwards):
                entered.append(layer)
                continue
            try:
                generator = layer(attempt)
                next(generator)
            except StopIteration as answer:
                return _answer_of(attempt, layer, answer.value)
            except BaseException as error:  # noqa: BLE001 - the handler is not run, the outer layers see why
                return fault(attempt, error)
            entered.append(generator)
        return None


def give_up(attempt: Attempt) -> Outcome:
    """What an attempt comes to whose handler will not end, by the layers around it: asked from another thread
    than the one that is stuck, which leaves the layers alone from then on."""
    outcome = leave(attempt, attempt.entered, failure(attempt, timed_out(attempt)))
    end_span(attempt, outcome)
    return outcome


def leave(attempt: Attempt, entered: list[Entered], outcome: Outcome) -> Outcome:
    """Send an outcome through the layers that were entered; what they make of it."""
    for layering in reversed(entered):
        if outcome.kind is not OutcomeKind.SUCCEEDED or not isinstance(layering, Afterwards):
            outcome = _passed(attempt, layering, outcome)
    return outcome


def _passed(attempt: Attempt, layering: Entered, outcome: Outcome) -> Outcome:
    try:
        generator = layering
        if isinstance(generator, Afterwards):
            generator = generator(attempt)
            next(generator)
        generator.send(outcome)
    except StopIteration as answer:
        return _answer_of(attempt, layering, answer.value)
    except BaseException as error:  # noqa: BLE001 - as above
        return fault(attempt, error)
    generator.close()
    return fault(attempt, RuntimeError(f"the layer {generator!r} yields twice: a layer yields once"))


def _answer_of(attempt: Attempt, layer: object, answer: object) -> Outcome:
    """What a layer returned, if it is an outcome; anything else must not be taken for one, nor for none."""
    if isinstance(answer, Outcome):
        return answer
    return fault(attempt, TypeError(f"the layer {layer!r} returned {answer!r}: a layer returns an Outcome"))


def fault(attempt: Attempt, error: BaseException) -> Outcome:
    """What a fault of a layer, not of the handler, comes to: by the policy that a handler's would meet."""
    logger.error("a layer failed", exception=told(error, attempt.secrets()), **attempt.log_fields())
    attempt.started = True
    outcome = failure(attempt, error)
    try:
        return decided(attempt, outcome)
    except Exception as failed:  # noqa: BLE001 - a policy is the user's
        logger.error(  # noqa: TRY400 - `exception` might show the values of all variables
            "the retry policy failed: the default one decides", exception=told(failed)
        )
        return decided(attempt, outcome, DEFAULT_RETRY)
