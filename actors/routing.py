"""Whom an event is for: a posting by the routes, when it is published and when they have changed since."""

from collections.abc import Sequence

import msgspec
import structlog

from ..messages.contract import Kind
from ..messages.errors import AmbiguousCommand, InvalidKey, UnroutedEvent
from ..messages.fields import id_in, key_in
from .mailbox.mailbox import Posting, Target
from .mailbox.subscriptions import Subscription
from .prepared import Prepared
from .routes import RouteTable

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.routing")


def routed(prepared: Prepared, routes: RouteTable, *, sent_before: bool = False) -> Posting:
    """The posting for all who subscribe; raises `UnroutedEvent` or `AmbiguousCommand`.

    `sent_before` says that an earlier try was not answered.
    """
    subscriptions = routes.of(prepared.name)
    command = prepared.kind is Kind.COMMAND
    if command and len(subscriptions) > 1:
        names = ", ".join(each.actor for each in subscriptions)
        raise AmbiguousCommand(
            f"the command {prepared.name} is for exactly one actor, but {names} subscribe to it: "
            "remove all but one, or make it an Event"
        )
    if not subscriptions:
        _unrouted(prepared)
    targets = tuple([_target(each, prepared, prepared.name) for each in subscriptions])
    own_keys = prepared.own_key and all(target.key == prepared.key for target in targets)
    return Posting(
        prepared.name,
        prepared.body,
        prepared.fingerprint,
        targets,
        prepared.delay_ms,
        prepared.due_at,
        prepared.key,
        routes.version,
        own_keys and not sent_before,
        sent_before,
        command,
        prepared.entity,
        prepared.said_key,
        "" if own_keys else prepared.id,
        prepared.came_of,
    )


def rerouted(posting: Posting, routes: RouteTable) -> Posting:
    """The same posting by other routes.

    A command was accepted for one actor. If it is not for exactly one any more, it keeps that one.
    """
    subscriptions = routes.of(posting.event)
    if posting.command and len(subscriptions) != 1:
        subscriptions = _kept(posting, subscriptions)
    targets = tuple([target for each in subscriptions if (target := _target_if_any(each, posting))])
    return msgspec.structs.replace(
        posting,
        # Without any it goes where it would have gone before, to be handled or to be seen among the dead.
        targets=posting.targets if posting.command and not targets else targets,
        routes_version=routes.version,
        fresh=False,
    )


def _kept(posting: Posting, subscriptions: Sequence[Subscription]) -> tuple[Subscription, ...]:
    """The subscription of the actor that a command was accepted for, if it is still there."""
    had = {target.actor for target in posting.targets}
    logger.error(
        "a command's actors have changed: it goes to the one it was published for, give it one",
        event_name=posting.event,
        goes_to=sorted(had),
        actors=[each.actor for each in subscriptions],
    )
    return tuple(each for each in subscriptions if each.actor in had)


def _target_if_any(subscription: Subscription, posting: Posting) -> Target | None:
    """None when an actor that came since finds no key in it: what is under way must not fail by that."""
    try:
        return _target(subscription, posting, posting.event)
    except InvalidKey as error:
        told = {"actor": subscription.actor, "event_name": posting.event, "why": str(error)}
        logger.error("an actor does not get an event from before it came", **told)  # noqa: TRY400 - no traceback
        return None


def _target(subscription: Subscription, event: Prepared | Posting, contract: str) -> Target:
    """What an event is for one actor; raises `InvalidKey` when the actor's dedup finds none in it."""
    key = event.key
    if subscription.key is not None and not event.said_key:
        key = key_in(event.body, subscription.key) if subscription.key else id_in(event.body)
    lane = f"{subscription.actor}:{event.entity}" if subscription.ordered and event.entity else ""
    return Target(subscription.actor, subscription.queue, key, subscription.contracts[contract], lane)


def _unrouted(prepared: Prepared) -> None:
    if prepared.required or prepared.kind is Kind.COMMAND:
        why = "a command" if prepared.kind is Kind.COMMAND else "published with required=True"
        raise UnroutedEvent(
            f"nobody subscribes to {prepared.name}, which is {why}: declare an actor for it, or start "
            "a worker that has one"
        )
    logger.warning("nobody subscribes, so it is not kept", event_name=prepared.name, event_id=prepared.id)
