"""A handler as a dramatiq actor whose messages are events."""

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import dramatiq

from ..messages.errors import InvalidActor, InvalidEvent
from ..messages.event import Event
from ..middleware.attempt import Attempt
from ..middleware.batch_run import Together
from ..middleware.guarded import Handler
from .attempt_items import AttemptItems
from .batch import Batch, BatchContext
from .context import Context
from .item_writer import ItemWriter
from .publisher import Publisher
from .resources import Resources
from .signature import Wanted

if TYPE_CHECKING:
    from .app import Callboard

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


def check_name(name: str, what: str) -> str:
    """The name itself; raises `InvalidActor` unless it is letters, digits and `_.-`, a letter first."""
    if not _NAME.fullmatch(name):
        raise InvalidActor(
            f"{what} {name!r}: a name begins with a letter or underscore and has up to 100 letters, "
            "digits, dots, dashes and underscores"
        )
    return name


def invocation(
    fn: Callable[..., Any], wanted: Wanted, publisher: Publisher, resources: Resources, writer: ItemWriter
) -> Callable[[Attempt], Any]:
    """Calls a handler with what it wants of an attempt, or one of batches with that of many."""
    if wanted.batch:
        return _batch_invocation(fn, wanted, publisher, resources)
    open_items = partial(AttemptItems, writer=writer, is_async=is_async(fn))
    if wanted.resources:

        def with_resources(attempt: Attempt) -> Any:
            given = [resources.get(kind) for kind in wanted.resources]
            if wanted.context:
                return fn(attempt.event, Context(attempt, publisher, open_items), *given)
            return fn(attempt.event, *given)

        return with_resources
    if wanted.context:
        return lambda attempt: fn(attempt.event, Context(attempt, publisher, open_items))
    return lambda attempt: fn(attempt.event)


def _batch_invocation(
    fn: Callable[..., Any], wanted: Wanted, publisher: Publisher, resources: Resources
) -> Callable[[Attempt], Any]:
    def invoke(attempt: Attempt) -> Any:
        together = cast("Together", attempt)
        for member in together.members:
            member.deadline = together.deadline
        events = [member.event for member in together.members]
        given = [resources.get(kind) for kind in wanted.resources]
        if wanted.context:
            return fn(events, BatchContext(together, publisher), *given)
        return fn(events, *given)

    return invoke


class EventActor(dramatiq.Actor[..., Any]):
    """An actor that subscribes to contracts. Called, it runs its handler as a plain function would."""

    def __init__(
        self,
        handler: Handler,
        *,
        app: "Callboard",
        original: Callable[..., Any],
        wanted: Wanted,
        queue_name: str,
        priority: int,
        batch: Batch | None = None,
    ) -> None:
        self.original = original
        self.wanted = wanted
        self.batch = batch
        """How many events its handler is given at once; None for one that takes them one by one."""
        self._app = app
        # dramatiq names the actor's logger after the function's module.
        handler.__module__ = original.__module__
        super().__init__(
            handler,  # type: ignore[arg-type]  # the stack replaces it by the guarded handler
            broker=app.broker,
            actor_name=handler.policy.actor,
            queue_name=queue_name,
            priority=priority,
            options={},
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the handler itself, without stack or mailbox, as a test of it may want."""
        return self.original(*args, **kwargs)

    def message_with_options(
        self, *, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None, **options: Any
    ) -> dramatiq.Message[Any]:
        """Events are published, not sent: raises `InvalidEvent` saying how."""
        del kwargs, options
        if len(args) == 1 and isinstance(args[0], Event):
            raise InvalidEvent(
                f"{self.actor_name} is reached by app.publish(event): its routes are by contract"
            )
        raise InvalidEvent(
            f"{self.actor_name} handles events: publish one it subscribes to with app.publish()"
        )


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether a handler runs on the event loop."""
    return inspect.iscoroutinefunction(fn)
