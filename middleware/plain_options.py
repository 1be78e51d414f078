"""Callboard's options on a plain dramatiq actor, and what becomes of dramatiq's own beside them."""

from typing import Any

import dramatiq
import structlog
from dramatiq.middleware import MiddlewareError

from ..messages.errors import InvalidActor
from .attempt import Policy
from .options import Options, first_said, policy_of

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.stack")

_REPLACED = {
    "retry": ("max_retries", "min_backoff", "max_backoff", "retry_when", "throws"),
    "timeout": ("time_limit",),
    "discard": ("max_age",),
}
"""Dramatiq's options that say the same as one of ours."""


class InvalidOptions(InvalidActor, MiddlewareError):
    """Raised when an actor's options cannot be read; of the errors in a hook dramatiq passes this kind on."""


def take_options(actor: dramatiq.Actor[..., Any], defaults: Options, longest_timeout: float) -> Policy | None:
    """The policy of a plain actor, None if nothing of ours was said for it.

    Where both vocabularies speak ours wins: dramatiq's words are taken out, and a line in the log says so.
    Raises `InvalidOptions`.
    """
    own = {name: actor.options[name] for name in Options.__struct_fields__ if name in actor.options}
    levels = (Options(**own), defaults)
    try:
        policy = policy_of(actor.actor_name, levels, contracts={}, longest_timeout=longest_timeout)
    except InvalidActor as error:
        raise InvalidOptions(error.faults) from error
    said = [name for name in _REPLACED if first_said(name, levels) is not None]
    if policy.dedup is not None and policy.dedup.store is None:
        raise InvalidOptions(
            f"{actor.actor_name}: a plain actor's dedup needs a store: Dedup(store=RedisDedupStore(url))"
        )
    if not said and policy.dedup is None:
        return None
    _replace(actor, said)
    return policy


def _replace(actor: dramatiq.Actor[..., Any], said: list[str]) -> None:
    for name in said:
        replaced = [word for word in _REPLACED[name] if word in actor.options]
        for word in replaced:
            del actor.options[word]
        if replaced:
            logger.warning(
                "dramatiq's options are not used where Callboard's say the same",
                actor=actor.actor_name,
                used=name,
                not_used=replaced,
            )
    if "retry" in said:
        # What reaches dramatiq's own retries is dead: ours have been at it before.
        actor.options["retry_when"] = _never
    if "timeout" in said:
        actor.options["time_limit"] = float("inf")


def _never(retries: int, exception: BaseException) -> bool:
    del retries, exception
    return False
