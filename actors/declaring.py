"""What an app's actors are declared to be: checked as a whole, before anything is made of it."""

from collections.abc import Callable, Container
from typing import Any

import msgspec

from ..messages.catalog import Catalog
from ..messages.contract import Kind
from ..messages.errors import InvalidActor
from ..messages.event import contract_of
from ..middleware.attempt import Policy
from ..middleware.options import DEFAULTS, Options, policy_of, said_of_dedup
from .actor import EventActor, check_name
from .actor_options import Said, batch_of
from .batch import Batch
from .mailbox.subscriptions import Subscription
from .resources import Resources
from .routes import Routes
from .signature import Wanted, read_signature
from .subscribing import subscription_of


class Plan(msgspec.Struct, frozen=True):
    """What an actor is going to be."""

    wanted: Wanted
    subscription: Subscription
    policy: Policy
    batch: Batch | None


class Declarations:
    """The contracts and actors of an app, and what holds for the actors that say nothing themselves."""

    def __init__(self, options: Options, longest_timeout: float) -> None:
        self.catalog = Catalog()
        self.routes = Routes()
        self.actors: dict[str, EventActor] = {}
        """By name, in the order of definition."""
        self._options = options
        self._longest_timeout = longest_timeout
        self._queues: dict[str, Options] = {}

    def say(self, queue: str, options: Options, *, begun: Container[str]) -> None:
        """Say what holds for a queue, unless it is among those that have actors; raises `InvalidActor`."""
        check_name(queue, "queue")
        if queue in begun:
            raise InvalidActor(f"queue {queue!r} has actors already: say what holds for it before them")
        self._queues[queue] = options

    def plan(
        self, fn: Callable[..., Any], namespace: dict[str, Any], said: Said, *, taken: Container[str]
    ) -> Plan:
        """What a handler's actor is going to be; raises `InvalidActor`, also for a name that is `taken`.

        `namespace` is where annotations are looked up that the handler's module does not know.
        """
        name = check_name(fn.__name__ if said.name is None else said.name, "actor")
        queue = check_name(said.queue, "queue")
        if name in taken:
            raise InvalidActor(f"two actors are named {name!r}: give one of them another with name=")
        wanted = read_signature(fn, namespace)
        contracts = {self.catalog.add(cls).name: contract_of(cls) for cls in wanted.events}
        levels = (said, self._queues.get(queue, Options()), self._options, DEFAULTS)
        dedup = said_of_dedup(levels, name)
        subscription = subscription_of(name, said, contracts, dedup, len(self.actors))
        policy = policy_of(
            name,
            levels,
            contracts=subscription.contracts,
            retention=subscription.retention,
            longest_timeout=self._longest_timeout,
        )
        return Plan(wanted, subscription, policy, batch_of(said, wanted, name))

    def add(self, actor: EventActor, plan: Plan) -> None:
        """Let an actor that was made be found."""
        self.routes.declare(plan.subscription)
        self.actors[actor.actor_name] = actor

    def faults(self, resources: Resources) -> list[str]:
        """All that would fail later, each with its mend."""
        return [*self.catalog.faults(), *self._unprovided(resources), *self._shared_commands()]

    def _unprovided(self, resources: Resources) -> list[str]:
        return [
            f"{actor.actor_name} takes a {kind.__qualname__}, which nobody provides: "
            f"call app.provide({kind.__name__}, ...)"
            for actor in self.actors.values()
            for kind in actor.wanted.resources
            if not resources.knows(kind)
        ]

    def _shared_commands(self) -> list[str]:
        takers = {
            name: self.routes.of(name)
            for name in self.catalog.names()
            if self.catalog.current(name).kind is Kind.COMMAND
        }
        return [
            f"{' and '.join(each.actor for each in of)} subscribe to the command {name}, "
            "which is for exactly one actor"
            for name, of in takers.items()
            if len(of) > 1
        ]
