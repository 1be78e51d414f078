"""The layers around every handler, in order, and the dramatiq middleware that puts them there."""

import threading
from collections.abc import Sequence
from functools import partial
from inspect import isgeneratorfunction
from typing import Any

import dramatiq
from dramatiq.broker import MessageProxy

from ..messages.catalog import Catalog
from ..messages.errors import ConfigurationError
from ..observability.recorder import Recorder
from ..observability.traces import Tracing
from .attempt import Policy
from .batched import Batched
from .deadline import Watch
from .decode import Decode
from .dedup.layer import Deduplicate, wants_store
from .dedup.option import Dedup
from .discard import Discard, discard
from .guarded import Guarded, Handler
from .layer import Afterwards, Layer, Place
from .log import log, log_all
from .metrics import MetricsLayer, metrics
from .options import Length, Options
from .plain import TRACEPARENT, PlainActor, plain_handler
from .plain_measured import MeasuredActor
from .plain_options import take_options
from .retry import Retry, retry
from .timeout import LONGEST_TIMEOUT

CLOSES_WITHIN = 5.0
"""Seconds a stopping worker tries to write the ends of attempts that a dedup store has not taken yet."""


def default_order(
    catalog: Catalog,
    *,
    recorder: Recorder | None = None,
    measure: Layer | None = None,
    log_successes: bool = False,
) -> tuple[Place, ...]:
    """The order of the layers, the outermost first; the timeout is no layer but how the handler is called.

    `recorder` counts what the attempts are measured to be, and what dedup stores answer; `measure` is the
    layer that measures, if nobody settles what it measured.
    """
    is_measured = recorder is not None
    return (
        # Its time is that of all the others together.
        Place("metrics", metrics if measure is None else measure, lambda _: is_measured),
        Place("log", log_all if log_successes else Afterwards(log)),  # sees what all the others made of it
        Place("decode", Decode(catalog), _has_contracts),  # before all that asks what the event says
        Place("discard", discard, _discards),  # before a claim that would then have to be let go
        Place("dedup", Deduplicate(recorder), wants_store),  # around what keeps a claim or lets it go
        Place("retry", Afterwards(retry), _retries),  # around whatever may fail
    )


def _has_contracts(policy: Policy) -> bool:
    return bool(policy.contracts)


def _discards(policy: Policy) -> bool:
    return bool(policy.discard)


def _retries(policy: Policy) -> bool:
    return policy.retry is not None


class Stack(dramatiq.Middleware):
    """Puts the layers around every handler that is declared.

    Of plain dramatiq actors, on any broker, it guards those that say at least one of its options, in
    `@dramatiq.actor(timeout=, retry=, discard=, dedup=)` or here for all of them.

    Parameters:
        order: the layers; `default_order` if None.
        timeout, retry, discard, dedup: for plain actors that say nothing else; None leaves it to dramatiq.
        longest_timeout: what no actor may exceed, in seconds.
        metrics: counts the attempts of all actors, on a broker that is not Callboard's.
        tracing: how messages are traced; as the program has configured OpenTelemetry if None.
    """

    def __init__(
        self,
        order: Sequence[Place] | None = None,
        *,
        timeout: Length | None = None,
        retry: Retry | None = None,
        discard: Discard | Sequence[Discard] | None = None,
        dedup: Dedup | None = None,
        longest_timeout: float = LONGEST_TIMEOUT,
        metrics: MetricsLayer | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        recorder = None if metrics is None else metrics.recorder
        usual = default_order(Catalog(), recorder=recorder, measure=metrics)
        self.order = usual if order is None else tuple(order)
        self._metrics = metrics
        self.options = Options(timeout=timeout, retry=retry, discard=discard, dedup=dedup)
        self.longest_timeout = longest_timeout
        self.watch = Watch()
        self.tracing = tracing or Tracing()
        self._guardeds: list[Guarded] = []
        self._current = _Current()

    @property
    def actor_options(self) -> set[str]:
        """What `@dramatiq.actor` takes beside dramatiq's own options."""
        return set(Options.__struct_fields__)

    def add(self, layer: Layer, *, before: str | None = None, after: str | None = None) -> None:
        """Put a layer of your own before or after one of the order; the outermost if neither is said.

        Raises `ConfigurationError` for a place there is not, and when actors were declared already.
        """
        if self._guardeds:
            raise ConfigurationError("a layer stands around all actors: add it before the first is declared")
        if not _makes_generators(layer):
            raise ConfigurationError(
                f"{layer!r} is no layer: a layer is a generator function with one `yield`"
            )
        place = Place(getattr(layer, "__name__", "layer"), layer)
        names = [known.name for known in self.order]
        wanted = after if before is None else before
        if wanted is not None and wanted not in names:
            raise ConfigurationError(f"there is no layer {wanted!r}: choose of {', '.join(names)}")
        position = 0 if wanted is None else names.index(wanted) + (before is None)
        self.order = (*self.order[:position], place, *self.order[position:])

    def layers_for(self, policy: Policy) -> list[Layer]:
        """The layers that stand around an actor with such a policy."""
        return [place.layer for place in self.order if place.wanted_by(policy)]

    def before_declare_actor(self, broker: dramatiq.Broker, actor: dramatiq.Actor[..., Any]) -> None:
        """Replace the actor's function by the guarded one; raises `InvalidOptions`.

        Before, not after: dramatiq swallows what goes wrong after, and the actor would run unguarded.
        """
        fn: object = actor.fn
        if isinstance(fn, Handler):
            actor.fn = self._guarded(fn)  # type: ignore[assignment]  # run by Callboard's drain, not called
            return
        policy = take_options(actor, self.options, self.longest_timeout)
        if self._metrics is not None:
            self._metrics.recorder.declare(actor.queue_name, actor.actor_name)
        if policy is None:
            self._measure(actor)
            return
        guarded = self._guarded(plain_handler(actor.fn, policy))
        actor.fn = PlainActor(actor.fn, guarded, broker, self._current.take)

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Let the layers write what they could not write yet."""
        del broker, worker
        for place in self.order:
            if isinstance(place.layer, Deduplicate):
                place.layer.close(CLOSES_WITHIN)

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        """Remember what this thread was handed, for the actor that will be called with it."""
        del broker
        self._current.message = message

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """See whether traces are configured by now."""
        del broker, worker
        self.look_for_tracer()

    def look_for_tracer(self) -> None:
        """See whether traces are configured by now; until they are, attempts have no spans."""
        spans = self.tracing.spans()
        for guarded in self._guardeds:
            guarded.spans = spans

    def before_enqueue(
        self, broker: dramatiq.Broker, message: dramatiq.Message[Any], delay: int | None
    ) -> None:
        """Let a message carry the trace it was enqueued in; a retry goes on with the one it has."""
        del broker, delay
        spans = self.tracing.spans()
        if spans is not None and TRACEPARENT not in message.options:
            span = spans.publish(message.actor_name, {"messaging.message.id": message.message_id})
            message.options[TRACEPARENT] = span.traceparent
            span.end()

    def after_nack(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        """Count what dramatiq has given up by itself."""
        if self._metrics is not None and message.actor_name in broker.actors:
            self._metrics.nacked(message)

    def _measure(self, actor: dramatiq.Actor[..., Any]) -> None:
        if self._metrics is not None:
            policy = Policy(actor.actor_name, {})
            actor.fn = MeasuredActor(actor.fn, policy, self._metrics, self._current.take)

    def _guarded(self, handler: Handler) -> Guarded:
        kind = Batched if handler.is_batch else Guarded
        guarded = kind(handler, self.layers_for(handler.policy), self.watch)
        guarded.spans = self.tracing.spans()
        self._guardeds.append(guarded)
        return guarded


def _makes_generators(layer: object) -> bool:
    function = layer.func if isinstance(layer, partial) else layer
    return isgeneratorfunction(function) or isgeneratorfunction(getattr(function, "__call__", None))  # noqa: B004 - an object may be a layer


class _Current(threading.local):
    """The message that a thread was handed last."""

    message: MessageProxy | None = None

    def take(self) -> MessageProxy | None:
        """The message, once: what an actor calls by itself is a plain call."""
        message, self.message = self.message, None
        return message
