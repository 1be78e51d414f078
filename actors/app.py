"""`Callboard`: where contracts, actors and the mailbox come together."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

import structlog
from dramatiq.middleware import Middleware
from msgspec import UNSET, UnsetType

from ..messages.catalog import Catalog, Upcaster
from ..messages.contract import Kind
from ..messages.delivery import storable
from ..messages.errors import ConfigurationError, InvalidActor
from ..messages.event import Event, contract_of
from ..messages.event_options import OptionsGiven
from ..messages.timing import read_after
from ..middleware.dedup.option import Dedup
from ..middleware.discard import Discard
from ..middleware.guarded import Handler
from ..middleware.layer import Layer
from ..middleware.options import DEFAULTS, Length, Options, OptionsSaid, policy_of, said_of_dedup
from ..middleware.retry import Retry
from ..middleware.stack import Stack, default_order
from ..observability.logs import set_level
from ..observability.recorder import Recorder
from ..observability.traces import Tracing
from .actor import EventActor, check_name, invocation, is_async
from .actor_options import ActorOptions, Said, batch_of, check_words
from .broker import CallboardBroker
from .changing import changed_by
from .dead_letters import DeadLetters
from .exporting import Exporting
from .limits import check_options, read_limits, read_longest_timeout
from .mailbox.forgetting import about_to_be_forgotten
from .mailbox.mailbox import Mailbox
from .mailbox.opening import open_mailbox
from .mailbox.schedule import Changed
from .publisher import KeyOf, Publisher, PublishOptions, When
from .receipt import Receipt
from .resources import Factory, Resources
from .routes import Routes
from .settings import load_settings
from .signature import read_signature
from .subscribing import subscription_of

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
        log_level: from which level on `callboard run` writes lines, "info" if None (or
            `CALLBOARD_LOG_LEVEL`); with "debug" there is a line for each success as well.
        dead_letters: how many a queue keeps, a million if None (or `CALLBOARD_DEAD_LETTERS`).
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
        self._options = Options(retry=retry, timeout=timeout, discard=discard, dedup=dedup)
        self._longest_timeout = read_longest_timeout(longest_timeout, faults)
        check_options(self._options, self._longest_timeout, faults)
        read_limits(faults, lease=lease, in_flight=in_flight, grace=grace)
        self.settings = load_settings(
            url=url,
            home=home,
            workspace=workspace,
            metrics=metrics,
            log_level=log_level,
            dead_letters=dead_letters,
            other_faults=faults,
        )
        self.catalog = Catalog()
        self.routes = Routes()
        self.resources = Resources()
        self._queue_options: dict[str, Options] = {}
        self._actors: dict[str, EventActor] = {}
        self.metrics = Recorder()
        recorder = None if self.settings.metrics is None else self.metrics
        self.publisher = Publisher(
            name,
            self.routes,
            lambda: self.broker.mailbox,
            tracing,
            recorder,
            longest_timeout=self._longest_timeout,
        )
        self.broker = CallboardBroker(
            mailbox if mailbox is not None else self._open_mailbox,
            middleware=middleware,
            lease=lease,
            in_flight=in_flight,
            grace=grace,
            boot=self._boot,
            confirm_routes=self._confirm_routes,
            look_after=self._warn_of_forgetting,
            stopped=self.resources.close,
            reroute=self.publisher.reroute,
            recorder=recorder,
        )
        order = default_order(
            self.catalog, recorder=recorder, log_successes=self.settings.log_level == "debug"
        )
        self._stack = Stack(order, longest_timeout=self._longest_timeout, tracing=self.publisher.tracing)
        self.broker.add_middleware(self._stack)
        if recorder is not None:
            self.broker.add_middleware(Exporting(self.broker, recorder, self.settings))

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox; opening it may start the embedded server."""
        return self.broker.mailbox

    @property
    def dead_letters(self) -> DeadLetters:
        """What ended dead: listed, replayed and discarded by what it has in common."""
        return DeadLetters(self.mailbox)

    @property
    def actors(self) -> Mapping[str, EventActor]:
        """The actors by name, in the order of definition."""
        return self._actors

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
        check_words(said, Said.__struct_fields__)
        frame = inspect.currentframe()
        namespace = dict(frame.f_back.f_locals) if frame and frame.f_back else {}

        def declare(fn: Callable[..., Any]) -> EventActor:
            return self._declare(fn, namespace, Said(**said))

        return declare if fn is None else declare(fn)

    def queue(self, name: str, **said: Unpack[OptionsSaid]) -> None:
        """Say, before they are declared, what holds for those actors of a queue that say nothing else.

        Raises `InvalidActor`.
        """
        check_name(name, "queue")
        check_words(said, Options.__struct_fields__)
        if name in self.broker.queues:
            raise InvalidActor(f"queue {name!r} has actors already: say what holds for it before them")
        self._queue_options[name] = Options(**said)

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
        faults = self.catalog.faults()
        faults += [
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
        **given: Unpack[OptionsGiven],
    ) -> Receipt:
        """Publish an event to all who subscribe to its contract: to all of them, or to none.

        When it returns, the mailbox has it. `after` is a wait ("5 minutes", milliseconds, a
        timedelta) or a moment (an aware datetime, epoch milliseconds, ISO 8601). Events with the same
        `dedup_key` are delivered to an actor once within the contract's window. `timeout`, `max_attempts`,
        `give_up_after` and `max_age` go before what its actors say; see `OptionsGiven`.

        Raises a `PublishError` or `MailboxRefused` when it is refused, or `MailboxUnavailable` when
        it may or may not be stored: publishing again with the same `dedup_key` is safe.
        """
        return self.publisher.publish(
            self.publisher.prepare(
                event,
                after=after,
                dedup_key=dedup_key,
                attributes=attributes,
                correlation_id=correlation_id,
                required=required,
                **given,
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
        dedup_key: KeyOf | None = None,
        attributes: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        required: bool = False,
        **given: Unpack[OptionsGiven],
    ) -> list[Receipt]:
        """Publish many events in few calls; the receipts are in their order.

        `dedup_key` makes each event's key; `after` and what is `given` of their attempts are read once,
        before the first of them, and raise `InvalidAfter` or `InvalidOption` with nothing posted. Every
        event is tried before `ManyRefused` tells which ones were refused. An error of the mailbox, or of
        what yields the events, ends it; what was posted by then stays.
        """
        return self.publisher.publish_many(
            self.publisher.prepare_many(
                events,
                after=after,
                dedup_key=dedup_key,
                attributes=attributes,
                correlation_id=correlation_id,
                required=required,
                **given,
            )
        )

    def cancel(self, event: str | Receipt, *, reason: str = "") -> tuple[Changed, ...]:
        """Let deliveries that have not begun not begin: of an event, or one by its own id (`actor:key`).

        `event` is a receipt, its id, or a delivery's. What waits ends as discarded, with the reason
        `cancelled` and a record that tells `reason`; a retry that waits does too. What runs goes on. Tells
        of each actor's delivery what became of it: `cancelled`, `running`, `done` or `unknown`.
        """
        detail = storable(reason)
        return changed_by(lambda known: self.mailbox.schedule.cancel(known, detail), event, [*self._actors])

    def reschedule(self, event: str | Receipt, *, after: When) -> tuple[Changed, ...]:
        """Let deliveries that have not begun begin at another time; `after` as in `publish`.

        Tells of each actor's delivery what became of it: `moved`, `running`, `cancelled`, `done` or
        `unknown`. What was not tried yet counts its age from the new time, a retry goes on counting.
        Raises `InvalidAfter`.
        """
        due = read_after(after)
        return changed_by(lambda known: self.mailbox.schedule.move(known, due), event, [*self._actors])

    def close(self) -> None:
        """Close resources and the mailbox; the embedded server ends with its last user."""
        self.resources.close()
        self.broker.close()

    # The rest is the app's own.

    def _declare(self, fn: Callable[..., Any], namespace: dict[str, Any], said: Said) -> EventActor:
        name = check_name(fn.__name__ if said.name is None else said.name, "actor")
        queue = check_name(said.queue, "queue")
        if name in self.broker.actors:
            raise InvalidActor(f"two actors are named {name!r}: give one of them another with name=")
        wanted = read_signature(fn, namespace)
        contracts = {self.catalog.add(cls).name: contract_of(cls) for cls in wanted.events}
        levels = (said, self._queue_options.get(queue, Options()), self._options, DEFAULTS)
        dedup = said_of_dedup(levels, name)
        subscription = subscription_of(name, said, contracts, dedup, len(self._actors))
        policy = policy_of(
            name,
            levels,
            contracts=subscription.contracts,
            retention=subscription.retention,
            longest_timeout=self._longest_timeout,
        )
        invoke = invocation(fn, wanted, self.publisher, self.resources, self.broker.item_writer)
        actor = EventActor(
            Handler(invoke, policy, is_async=is_async(fn), is_batch=wanted.batch),
            app=self,
            original=fn,
            wanted=wanted,
            queue_name=queue,
            priority=said.priority,
            batch=batch_of(said, wanted, name),
        )
        self.routes.declare(subscription)
        self._actors[name] = actor
        return actor

    def _open_mailbox(self) -> Mailbox:
        return open_mailbox(self.settings)

    def _boot(self) -> None:
        set_level(self.settings.log_level)
        self._stack.look_for_tracer()
        self.check()
        self._confirm_routes()
        # What handlers publish is routed by this, until the mailbox says that it has changed.
        self.routes.load(self.mailbox)

    def _confirm_routes(self) -> None:
        self.mailbox.register(self.routes.declared)

    def _warn_of_forgetting(self) -> None:
        info = self.mailbox.info()
        for line in about_to_be_forgotten(info.queues, info.at, self.settings.dead_letters):
            logger.warning("dead letters will be forgotten", told=line)
