"""The outermost layer: measures each attempt, to be counted once its outcome is durable."""

from collections.abc import Generator
from time import monotonic
from typing import TYPE_CHECKING

from ..messages.delivery import Outcome
from ..observability.metrics import OTHER, PLAIN
from ..observability.recorder import NAMESPACE, Recorder
from ..observability.settled import Attempted, Measured

if TYPE_CHECKING:
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

    def __call__(self, attempt: "Attempt") -> Generator[None, Outcome, Outcome]:
        """The layer."""
        began = monotonic()
        outcome = yield
        delivery = attempt.delivery
        delivery.measured = _measured(attempt, began)
        self.recorder.settled([Attempted(delivery, outcome)], [True])
        return outcome


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
