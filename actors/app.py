"""`Callboard`: where contracts, actors and the mailbox come together."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

import structlog
from dramatiq.middleware import Middleware

from ..messages.catalog import Catalog, Upcaster
from ..messages.contract import Kind
from ..messages.errors import ConfigurationError, InvalidActor, PublishError
from ..messages.event import Event, contract_of
from ..middleware.attempt import Policy
from ..middleware.retry import DEFAULT_RETRY, Retry
from ..middleware.stack import Handler, Stack, default_layers
from .actor import EventActor, check_name, invocation, is_async
from .broker import CallboardBroker
from .mailbox.mailbox import Mailbox, Subscription
from .mailbox.opening import open_mailbox
from .prepared import Prepared
from .publisher import Publisher, PublishOptions, Receipt, When
from .resources import Factory, Resources
from .routes import Routes
from .settings import load_settings
from .signature import read_signature

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.app")

T = TypeVar("T")


class Callboard:
    """An app: its contracts and actors, and the mailbox they meet at.

    Parameters:
        name: the app's name, the source of its events.
        url: a Redis or Valkey server; the embedded one if None (or `CALLBOARD_URL`).
        home: the embedded server's directory, `.callboard` if None (or `CALLBOARD_HOME`).
        workspace: an isolated namespace in the server, "default" if None (or `CALLBOARD_WORKSPACE`).
        metrics: where metrics are served, "127.0.0.1:9191" if None (or `CALLBOARD_METRICS`).
        mailbox: a mailbox to use instead of a server, such as `MemoryMailbox()`.
        retry: what actors do that say nothing else.
        lease: how long a worker that is not heard of may hold a delivery.
        in_flight: deliveries of `async def` actors that run at a time in one process.
        grace: how long a stopping worker waits for handlers on the event loop.
        middleware: dramatiq's middleware for plain actors; its defaults if None.

    Raises `ConfigurationError` with all faults of the settings.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        home: str | Path | None = None,
        workspace: str | None = None,
        metrics: str | None = None,
        mailbox: Mailbox | None = None,
        retry: Retry = DEFAULT_RETRY,
        lease: str | float | timedelta = "30s",
        in_flight: int = 100,
        grace: str | float | timedelta = "30s",
        middleware: list[Middleware] | None = None,
    ) -> None:
        self.name = check_name(name, "app")
        self.settings = load_settings(url=url, home=home, workspace=workspace, metrics=metrics)
        self.catalog = Catalog()
        self.routes = Routes()
        self.resources = Resources()
        self._retry = retry
        self._actors: dict[str, EventActor] = {}
        self._publisher = Publisher(name, self.routes, lambda: self.broker.mailbox)
        self.broker = CallboardBroker(
            mailbox if mailbox is not None else self._open_mailbox,
            middleware=middleware,
            lease=lease,
            in_flight=in_flight,
            grace=grace,
            boot=self._boot,
            confirm_routes=self._confirm_routes,
            stopped=self.resources.close,
            reroute=self._publisher.reroute,
        )
        self.broker.add_middleware(Stack(default_layers(self.catalog)))

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox; opening it may start the embedded server."""
        return self.broker.mailbox

    @property
    def actors(self) -> Mapping[str, EventActor]:
        """The actors by name, in the order of definition."""
        return self._actors

    # Declaring.

    @overload
    def actor(self, fn: Callable[..., Any], /) -> EventActor: ...

    @overload
    def actor(
        self,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
        retry: Retry | None = None,
    ) -> Callable[[Callable[..., Any]], EventActor]: ...

    def actor(
        self,
        fn: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        queue: str = "default",
        priority: int = 0,
        retry: Retry | None = None,
    ) -> EventActor | Callable[[Callable[..., Any]], EventActor]:
        """Declare a handler as an actor; what it subscribes to is read from its annotations.

        `def` and `async def` are equal. The first parameter takes an event of one contract, or of a
        union; the second, if annotated so, the `Context`; further ones are resources, by type. Lower
        priorities go first among what a worker holds. Raises `InvalidActor`.
        """
        frame = inspect.currentframe()
        namespace = dict(frame.f_back.f_locals) if frame and frame.f_back else {}

        def declare(fn: Callable[..., Any]) -> EventActor:
            return self._declare(
                fn,
                namespace,
                name=fn.__name__ if name is None else name,
                queue=queue,
                priority=priority,
                retry=retry,
            )

        return declare if fn is None else declare(fn)

    def contract(self, cls: type[T]) -> type[T]:
        """Make a contract known that this app publishes but no actor here handles (a decorator)."""
        self.catalog.add(cls)  # type: ignore[arg-type]  # it says itself what is wrong with anything else
        return cls

    def upcast(self, cls: type[Event], *, from_version: int) -> Callable[[Upcaster], Upcaster]:
        """Declare how fields of an older version become those of the next (a decorator)."""

        def declare(fn: Upcaster) -> Upcaster:
            self.catalog.upcaster(cls, from_version, fn)
            return fn

        return declare

    def provide(self, kind: type[T], factory: Factory[T]) -> None:
        """Say how a resource is made that handlers take by type: once in each worker process."""
        self.resources.provide(kind, factory)

    def check(self) -> None:
        """Raise `ConfigurationError` with all that would fail later: resources nobody provides, commands
        with two actors."""
        faults = [
            f"{actor.actor_name} takes a {kind.__qualname__}, which nobody provides: "
            f"call app.provide({kind.__name__}, ...)"
            for actor in self._actors.values()
            for kind in actor.wanted.resources
            if not self.resources.knows(kind)
        ]
        for contract in self.catalog.names():
            takers = self.routes.of(contract)
            if self.catalog.current(contract).kind is Kind.COMMAND and len(takers) > 1:
                names = " and ".join(each.actor for each in takers)
                faults.append(f"{names} subscribe to the command {contract}, which is for exactly one actor")
        if faults:
            raise ConfigurationError(faults)

    # Publishing.

    def publish(
        self,
        event: Event,
        *,
        after: When | None = None,
        dedup_key: str | None = None,
        attributes: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        required: bool = False,
    ) -> Receipt:
        """Publish an event to all who subscribe to its contract: to all of them, or to none.

        When it returns, the mailbox has it. `after` is a wait ("5 minutes", milliseconds, a
        timedelta) or a moment (an aware datetime, epoch milliseconds, ISO 8601). Events with the same
        `dedup_key` are delivered to an actor once within the contract's window.

        Raises a `PublishError` when it is refused, `InvalidAfter`, `MailboxRefused`, or
        `MailboxUnavailable` when it may or may not be stored: publishing again with the same
        `dedup_key` is safe.
        """
        return self._publisher.publish(
            self._publisher.prepare(
                event,
                after=after,
                dedup_key=dedup_key,
                attributes=attributes,
                correlation_id=correlation_id,
                required=required,
            )
        )

    async def apublish(self, event: Event, **options: Unpack[PublishOptions]) -> Receipt:
        """The same for `async def` code, with the same options: the event loop goes on meanwhile."""
        return await asyncio.to_thread(self.publish, event, **options)

    def publish_many(
        self,
        events: Iterable[Event],
        *,
        after: When | None = None,
        dedup_key: Callable[[Event], str] | None = None,
        attributes: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        required: bool = False,
    ) -> list[Receipt]:
        """Publish many events in few calls; the receipts are in their order.

        `dedup_key` makes each event's key. Every event is tried before `ManyRefused` tells which ones
        were refused. An error of the mailbox ends it; what was posted by then stays.
        """

        def prepared() -> Iterable[Prepared | PublishError]:
            for event in events:
                try:
                    yield self._publisher.prepare(
                        event,
                        after=after,
                        dedup_key=None if dedup_key is None else dedup_key(event),
                        attributes=attributes,
                        correlation_id=correlation_id,
                        required=required,
                    )
                except PublishError as error:
                    yield error

        return self._publisher.publish_many(prepared())

    def close(self) -> None:
        """Close resources and the mailbox; the embedded server ends with its last user."""
        self.resources.close()
        self.broker.close()

    # The rest is the app's own.

    def _declare(
        self,
        fn: Callable[..., Any],
        namespace: dict[str, Any],
        *,
        name: str,
        queue: str,
        priority: int,
        retry: Retry | None,
    ) -> EventActor:
        check_name(name, "actor")
        check_name(queue, "queue")
        if name in self.broker.actors:
            raise InvalidActor(f"two actors are named {name!r}: give one of them another with name=")
        wanted = read_signature(fn, namespace)
        contracts = {self.catalog.add(cls).name: contract_of(cls).window_ms for cls in wanted.events}
        policy = Policy(name, contracts, self._retry if retry is None else retry)
        invoke = invocation(fn, wanted, self._publisher, self.resources)
        actor = EventActor(
            Handler(invoke, policy, is_async=is_async(fn)),
            app=self,
            original=fn,
            wanted=wanted,
            queue_name=queue,
            priority=priority,
        )
        self.routes.declare(Subscription(name, queue, contracts, len(self._actors)))
        self._actors[name] = actor
        return actor

    def _open_mailbox(self) -> Mailbox:
        return open_mailbox(self.settings)

    def _boot(self) -> None:
        self.check()
        self._confirm_routes()
        # What handlers publish is routed by this, until the mailbox says that it has changed.
        self.routes.load(self.mailbox)

    def _confirm_routes(self) -> None:
        self.mailbox.register(self.routes.declared)
