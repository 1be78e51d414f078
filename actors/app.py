"""`Callboard`: where contracts, actors and the mailbox come together."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, overload

import structlog
from dramatiq.middleware import Middleware
from msgspec import UNSET, UnsetType

from ..messages.catalog import Upcaster
from ..messages.errors import ConfigurationError
from ..messages.event import Event
from ..middleware.dedup.option import Dedup
from ..middleware.discard import Discard
from ..middleware.guarded import Handler
from ..middleware.layer import Layer
from ..middleware.options import Length, Options, OptionsSaid
from ..middleware.retry import Retry
from ..middleware.stack import Stack, default_order
from ..observability.logs import set_level
from ..observability.recorder import Recorder
from ..observability.traces import Tracing
from .actor import EventActor, check_name, invocation, is_async
from .actor_options import ActorOptions, Said, check_words
from .broker import CallboardBroker
from .dead_letters import DeadLetters
from .declaring import Declarations
from .exporting import Exporting
from .limits import check_options, read_limits, read_longest_timeout
from .mailbox.forgetting import about_to_be_forgotten
from .mailbox.mailbox import Mailbox
from .mailbox.opening import ensure_worker_permitted, open_mailbox, tell_publisher
from .mailbox.suitability import mixed_versions
from .publisher import Publisher
from .publishing_app import PublishingApp
from .resources import Factory, Resources
from .settings import load_settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.app")

T = TypeVar("T")


class BrokerSaid(TypedDict):
    """What an app hands on to its broker as it was said."""

    middleware: list[Middleware] | None
    lease: str | float | timedelta
    in_flight: int
    grace: str | float | timedelta


class Callboard(PublishingApp):
    """An app: its contracts and actors, and the mailbox they meet at.

    Parameters:
        name: the app's name, the source of its events.
        url: a Redis or Valkey server; the embedded one if None (or `CALLBOARD_URL`).
        home: the embedded server's directory, `.callboard` if None (or `CALLBOARD_HOME`).
        workspace: an isolated namespace in the server, "default" if None (or `CALLBOARD_WORKSPACE`).
        metrics: where metrics are served, "127.0.0.1:9191" if None (or `CALLBOARD_METRICS`).
        log_level: from which level on `callboard run` writes lines, "info" if None (or
            `CALLBOARD_LOG_LEVEL`); with "debug" there is a line for each success as well.
        dead_letters: how many a queue keeps, a million if None (or `CALLBOARD_DEAD_LETTERS`).
        force: to work on a server that may lose events, too; not if None (or `CALLBOARD_FORCE`).
        mailbox: a mailbox to use instead of a server, such as `MemoryMailbox()`.
        retry: when actors try again that say nothing else; `Retry.exponential()` if None.
        timeout: how long an attempt may take whose actor says nothing else; 5 s if None.
        discard: what actors do not handle that say nothing else.
        dedup: how deliveries are told apart of actors that say nothing else; by their contracts if `UNSET`.
        longest_timeout: what no timeout may exceed.
        lease: how long a worker that is not heard of may hold a delivery, 300 ms at least.
        in_flight: deliveries of `async def` actors that run at a time in one process, 1 at least.
        grace: how long a stopping worker waits for handlers on the event loop.
        tracing: how events are traced; as the program has configured OpenTelemetry if None, and not at all
            if it has not.
        middleware: dramatiq's middleware for plain actors; its defaults if None.

    Raises `ConfigurationError` with all that cannot be of what is given here and of the settings.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        home: str | Path | None = None,
        workspace: str | None = None,
        metrics: str | None = None,
        log_level: str | None = None,
        dead_letters: int | None = None,
        force: bool | None = None,
        mailbox: Mailbox | None = None,
        retry: Retry | None = None,
        timeout: Length | None = None,
        discard: Discard | Sequence[Discard] | None = None,
        dedup: Dedup | UnsetType | None = UNSET,
        longest_timeout: Length = "60s",
        lease: str | float | timedelta = "30s",
        in_flight: int = 100,
        grace: str | float | timedelta = "30s",
        tracing: Tracing | None = None,
        middleware: list[Middleware] | None = None,
    ) -> None:
        self.name = check_name(name, "app")
        faults: list[str] = []
        options = Options(retry=retry, timeout=timeout, discard=discard, dedup=dedup)
        longest = read_longest_timeout(longest_timeout, faults)
        check_options(options, longest, faults)
        read_limits(faults, lease=lease, in_flight=in_flight, grace=grace)
        self.settings = load_settings(
            url=url,
            home=home,
            workspace=workspace,
            metrics=metrics,
            log_level=log_level,
            dead_letters=dead_letters,
            force=force,
            other_faults=faults,
        )
        self._declarations = Declarations(options, longest)
        self.catalog, self.routes = self._declarations.catalog, self._declarations.routes
        if mailbox is None:
            self.routes.asked_first = tell_publisher
        self.resources = Resources()
        self.metrics = Recorder()
        recorder = None if self.settings.metrics is None else self.metrics
        publisher = Publisher(name, self.routes, self._mailbox, tracing, recorder, longest_timeout=longest)
        super().__init__(publisher, self._mailbox, self.actors)
        self.broker = self._new_broker(
            mailbox if mailbox is not None else self._open_mailbox,
            recorder,
            middleware=middleware,
            lease=lease,
            in_flight=in_flight,
            grace=grace,
        )
        self._stack = self._new_stack(recorder, longest)
        self.broker.add_middleware(self._stack)
        if recorder is not None:
            self.broker.add_middleware(Exporting(self.broker, recorder, self.settings))

    @property
    def dead_letters(self) -> DeadLetters:
        """What ended dead: listed, replayed and discarded by what it has in common."""
        return DeadLetters(self.mailbox)

    @property
    def actors(self) -> Mapping[str, EventActor]:
        """The actors by name, in the order of definition."""
        return self._declarations.actors

    # Declaring.

    @overload
    def actor(self, fn: Callable[..., Any], /) -> EventActor: ...

    @overload
    def actor(self, **said: Unpack[ActorOptions]) -> Callable[[Callable[..., Any]], EventActor]: ...

    def actor(
        self, fn: Callable[..., Any] | None = None, **said: Unpack[ActorOptions]
    ) -> EventActor | Callable[[Callable[..., Any]], EventActor]:
        """Declare a handler as an actor; what it subscribes to is read from its annotations.

        `def` and `async def` are equal. The first parameter takes an event of one contract, or of a
        union, or a list of such for a batch handler; the second, if annotated so, the `Context` or
        `BatchContext`; further ones are resources, by type. See `ActorOptions` for what may be said.
        Raises `InvalidActor`.
        """
        frame = inspect.currentframe()
        namespace = dict(frame.f_back.f_locals) if frame and frame.f_back else {}

        def declare(fn: Callable[..., Any]) -> EventActor:
            check_words(getattr(fn, "__name__", repr(fn)), said, Said.__struct_fields__)
            return self._declare(fn, namespace, Said(**said))

        return declare if fn is None else declare(fn)

    def queue(self, name: str, **said: Unpack[OptionsSaid]) -> None:
        """Say, before they are declared, what holds for those actors of a queue that say nothing else.

        Raises `InvalidActor`.
        """
        check_words(f"queue {name!r}", said, Options.__struct_fields__)
        self._declarations.say(name, Options(**said), begun=self.broker.queues)

    def layer(
        self, layer: Layer | None = None, *, before: str | None = None, after: str | None = None
    ) -> Any:
        """Put a layer of your own around every handler (a function, or a decorator): before or after a
        layer of the stack, or as the outermost.

        Raises `ConfigurationError` for a place there is not, and after the first actor was declared.
        """

        def add(layer: Layer) -> Layer:
            self._stack.add(layer, before=before, after=after)
            return layer

        return add if layer is None else add(layer)

    def contract(self, cls: type[T]) -> type[T]:
        """Make a contract known that this app publishes but no actor here handles (a decorator)."""
        added = self.catalog.add(cls)  # type: ignore[arg-type]  # it says itself what is wrong with anything else
        self.metrics.names.declare(events=(added.name,))
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
        with two actors, upcasters that lead nowhere."""
        if faults := self._declarations.faults(self.resources):
            raise ConfigurationError(faults)

    def close(self) -> None:
        """Close resources and the mailbox; the embedded server ends with its last user."""
        self.resources.close()
        self.broker.close()

    # The rest is the app's own.

    def _declare(self, fn: Callable[..., Any], namespace: dict[str, Any], said: Said) -> EventActor:
        plan = self._declarations.plan(fn, namespace, said, taken=self.broker.actors)
        invoke = invocation(fn, plan.wanted, self.publisher, self.resources, self.broker.item_writer)
        actor = EventActor(
            Handler(invoke, plan.policy, is_async=is_async(fn), is_batch=plan.wanted.batch),
            app=self,
            original=fn,
            wanted=plan.wanted,
            queue_name=plan.subscription.queue,
            priority=said.priority,
            batch=plan.batch,
        )
        self._declarations.add(actor, plan)
        return actor

    def _mailbox(self) -> Mailbox:
        return self.broker.mailbox

    def _new_broker(
        self, mailbox: Mailbox | Callable[[], Mailbox], recorder: Recorder | None, **said: Unpack[BrokerSaid]
    ) -> CallboardBroker:
        return CallboardBroker(
            mailbox,
            boot=self._boot,
            confirm_routes=self._confirm_routes,
            look_after=self._look_after,
            stopped=self.resources.close,
            reroute=self.publisher.reroute,
            recorder=recorder,
            **said,
        )

    def _new_stack(self, recorder: Recorder | None, longest_timeout: float) -> Stack:
        log_successes = self.settings.log_level == "debug"
        order = default_order(self.catalog, recorder=recorder, log_successes=log_successes)
        return Stack(order, longest_timeout=longest_timeout, tracing=self.publisher.tracing)

    def _open_mailbox(self) -> Mailbox:
        return open_mailbox(self.settings)

    def _boot(self) -> None:
        set_level(self.settings.log_level)
        self._stack.look_for_tracer()
        self.check()
        ensure_worker_permitted(self.mailbox, self.settings)
        self._confirm_routes()
        # What handlers publish is routed by this, until the mailbox says that it has changed.
        self.routes.load(self.mailbox)

    def _confirm_routes(self) -> None:
        self.mailbox.register(self.routes.declared)

    def _look_after(self) -> None:
        info = self.mailbox.info()
        if (mixed := mixed_versions(info.workers)) is not None:
            logger.warning("versions are mixed", what=mixed.what, mend=mixed.mend)
        for line in about_to_be_forgotten(info.queues, info.at, self.settings.dead_letters):
            logger.warning("dead letters will be forgotten", told=line)
