"""The outermost layer: measures each attempt, to be counted once its outcome is durable."""

import threading
from collections.abc import Generator
from time import monotonic
from typing import TYPE_CHECKING

from ..messages.delivery import Outcome, OutcomeKind, Reason
from ..observability.metrics import OTHER, PLAIN
from ..observability.recorder import NAMESPACE, Recorder
from ..observability.settled import Attempted, Measured
from .plain_delivery import id_of

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy
    from prometheus_client import CollectorRegistry

    from .attempt import Attempt


def metrics(attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
    """The layer of Callboard's broker: whoever settles the delivery counts what it carries."""
    began = monotonic()
    outcome = yield
    attempt.held.measured = _measured(attempt, began)
    return outcome


class MetricsLayer:
    """The layer for any other broker of dramatiq: each attempt is counted as it ends, for nobody tells more.

    Give it to the stack, `Stack(metrics=MetricsLayer(registry))`: it stands around every actor then.

    Parameters:
        registry: where the metrics are shown, as prometheus_client's `REGISTRY`.
        namespace: what their names begin with.
    """

    def __init__(self, registry: "CollectorRegistry", *, namespace: str = NAMESPACE) -> None:
        self.recorder = Recorder()
        self.recorder.register(registry, namespace=namespace)
        self._latest = _Latest()

    def __call__(self, attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
        """The layer."""
        began = monotonic()
        outcome = yield
        delivery = attempt.delivery
        delivery.measured = _measured(attempt, began)
        self.recorder.settled([Attempted(delivery, outcome)], [True])
        self._latest.id, self._latest.is_dead = delivery.id, outcome.kind is OutcomeKind.DEAD
        return outcome

    def nacked(self, message: "MessageProxy") -> None:
        """Count a message that is dead by dramatiq's word, and not by that of its last attempt.

        To be called by the thread that made the attempt, if there was one: dramatiq may find it too old.
        """
        was_attempted = self._latest.id == id_of(message)
        if not (was_attempted and self._latest.is_dead):
            reason = Reason.MAX_ATTEMPTS if was_attempted else Reason.MAX_AGE
            self.recorder.given_up(message.queue_name, message.actor_name, reason)


class _Latest(threading.local):
    """The last attempt that a thread made."""

    id: str = ""
    is_dead: bool = False


def _measured(attempt: "Attempt", began: float) -> Measured:
    policy, items = attempt.policy, attempt.items
    try:
        event = attempt.envelope.type
    except AttributeError:
        # A layer answered before it was read, or it cannot be read; a plain message has none.
        event = OTHER if policy.contracts else PLAIN
    span = attempt.span
    return Measured(
        policy.actor,
        event,
        began,
        monotonic(),
        None if items is None else items.counts,
        None if span is None else span.kept_trace_id,
    )
