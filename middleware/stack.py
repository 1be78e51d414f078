"""The layers around every handler, in order, and the two drivers that run them.

A layer is a generator: what stands before its `yield` runs before the handler, what stands after it
sees what the attempt came to, and a layer that returns without yielding answers by itself.
"""

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import Any

import dramatiq

from ..messages.catalog import Catalog
from ..messages.delivery import LONGEST_ERROR, SUCCEEDED, Outcome, OutcomeKind, Reason, error_record
from .attempt import Attempt, Policy
from .decode import Decode
from .retry import retry
from .signals import DiscardEvent, RejectEvent, Signal

Layer = Callable[[Attempt], Generator[None, Outcome, Outcome]]
"""Makes the generator that guards one attempt."""


def default_layers(catalog: Catalog) -> tuple[Layer, ...]:
    """The order of the layers, the outermost first."""
    return (
        Decode(catalog),  # before all that asks what the event says
        retry,  # around whatever may fail
    )


class Handler:
    """A user's function, as an actor of Callboard holds it until the stack is put around it.

    `invoke` calls the function with what it wants of an attempt; for an `async def` it returns the
    coroutine.
    """

    def __init__(self, invoke: Callable[[Attempt], Any], policy: Policy, *, is_async: bool) -> None:
        self.invoke = invoke
        self.policy = policy
        self.is_async = is_async


class Guarded:
    """A handler with the stack around it: runs one attempt and says what it came to."""

    def __init__(self, handler: Handler, layers: Sequence[Layer]) -> None:
        self.handler = handler
        self.is_async = handler.is_async
        self.policy = handler.policy
        self._invoke = handler.invoke
        self._layers = tuple(layers)

    def perform(self, attempt: Attempt) -> Outcome:
        """Run a `def` handler."""
        entered: list[Generator[None, Outcome, Outcome]] = []
        outcome = self._enter(attempt, entered)
        if outcome is None:
            attempt.started = True
            try:
                self._invoke(attempt)
                outcome = SUCCEEDED
            except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its outcome
                outcome = failure(attempt, error)
        return _leave(entered, outcome) if entered else outcome

    async def aperform(self, attempt: Attempt) -> Outcome:
        """Run an `async def` handler."""
        entered: list[Generator[None, Outcome, Outcome]] = []
        outcome = self._enter(attempt, entered)
        if outcome is None:
            attempt.started = True
            try:
                await self._invoke(attempt)
                outcome = SUCCEEDED
            except GeneratorExit:
                raise
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                    raise  # the worker stops: that is not the handler's outcome
                outcome = failure(attempt, error)
        return _leave(entered, outcome) if entered else outcome

    def _enter(self, attempt: Attempt, entered: list[Generator[None, Outcome, Outcome]]) -> Outcome | None:
        """Run the layers up to the handler; an outcome if one of them answered by itself."""
        for layer in self._layers:
            generator = layer(attempt)
            try:
                next(generator)
            except StopIteration as answer:
                outcome: Outcome = answer.value
                return outcome
            entered.append(generator)
        return None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _leave(entered: list[Generator[None, Outcome, Outcome]], outcome: Outcome) -> Outcome:
    for generator in reversed(entered):
        try:
            generator.send(outcome)
        except StopIteration as answer:
            outcome = answer.value
        else:
            generator.close()
            raise RuntimeError(f"the layer {generator!r} yields twice: a layer yields once")
    return outcome


def failure(attempt: Attempt, error: BaseException) -> Outcome:
    """What an exception of the handler means, before the retry layer has decided."""
    if isinstance(error, DiscardEvent):
        return Outcome(OutcomeKind.DISCARDED, Reason.REJECTED, _words(error))
    if isinstance(error, RejectEvent):
        return Outcome(OutcomeKind.DEAD, Reason.REJECTED, _words(error))
    attempt.exception = error
    return Outcome(OutcomeKind.RETRIED, error=error_record(error, attempt.delivery.clock.now()))


def _words(signal: Signal) -> str:
    return str(signal.detail).encode("utf-8", "replace").decode()[:LONGEST_ERROR]


class Stack(dramatiq.Middleware):
    """Puts the layers around every handler that is declared."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)

    def after_declare_actor(self, broker: dramatiq.Broker, actor: dramatiq.Actor[..., Any]) -> None:
        """Replace the actor's function by the guarded one."""
        del broker
        fn: object = actor.fn
        if isinstance(fn, Handler):
            actor.fn = Guarded(fn, self.layers)  # type: ignore[assignment]  # run by Callboard's drain, not called
