"""What an app, a queue or an actor says of how deliveries are treated; the nearest has the say."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from ..messages.errors import InvalidActor, InvalidDuration
from ..messages.timing import duration_ms
from .attempt import Policy
from .dedup.option import Dedup
from .discard import Discard
from .retry import DEFAULT_RETRY, Retry
from .timeout import DEFAULT_TIMEOUT

Length = str | float | timedelta
"""A length of time: "10s", "5 minutes", seconds, or a timedelta."""


class OptionsSaid(TypedDict, total=False):
    """What may be said of an actor, a queue or an app, by keyword."""

    retry: Retry | None
    timeout: Length | None
    discard: Discard | Sequence[Discard] | None
    dedup: Dedup | None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What one level says; None where it says nothing, so that 0 is a value."""

    retry: Retry | None = None
    """When a failed attempt is followed by another."""
    timeout: Length | None = None
    """How long an attempt may take."""
    discard: Discard | Sequence[Discard] | None = None
    """What is not handled; an empty sequence for all is handled."""
    dedup: Dedup | UnsetType | None = UNSET
    """How its deliveries are told from others; None for not at all, `UNSET` for as the contract says."""


DEFAULTS = Options(retry=DEFAULT_RETRY, timeout=DEFAULT_TIMEOUT, discard=())
"""What holds for the actors of an app where nothing else is said."""


def first_said(option: str, levels: Sequence[Options]) -> Any:
    """What the nearest level says of an option; None if none says anything."""
    return next((said for level in levels if (said := getattr(level, option)) is not None), None)


def said_of_dedup(levels: Sequence[Options], whose: str) -> Dedup | UnsetType | None:
    """What the nearest level says of dedup; None for none, `UNSET` where none says anything."""
    said: object = next((level.dedup for level in levels if level.dedup is not UNSET), UNSET)
    if not isinstance(said, Dedup | UnsetType | None):
        raise InvalidActor(f"{whose}: dedup takes a Dedup, as Dedup(window='7d'), or None, not {said!r}")
    return said


def policy_of(
    actor: str,
    levels: Sequence[Options],
    *,
    contracts: Mapping[str, int],
    retention: Mapping[str, int] | None = None,
    longest_timeout: float,
) -> Policy:
    """The policy of an actor by what each level says, the nearest first.

    `contracts` are those it subscribes to with their dedup windows, `retention` how long the records of some
    of them are kept; raises `InvalidActor` for an option
    that cannot be read.
    """
    timeout = first_said("timeout", levels)
    retry = first_said("retry", levels)
    if not isinstance(retry, Retry | None):
        raise InvalidActor(f"{actor}: retry must be made by Retry, as Retry.every('6m'), but is {retry!r}")
    dedup = said_of_dedup(levels, actor)
    return Policy(
        actor,
        dict(contracts),
        retry,
        None if timeout is None else seconds_of(timeout, longest_timeout, actor),
        longest_timeout,
        _rules(first_said("discard", levels), actor),
        dedup if isinstance(dedup, Dedup) else None,
        dict(retention or {}),
    )


def seconds_of(timeout: Length, longest: float, whose: str) -> float:
    """Seconds of a timeout; raises `InvalidActor` when it is nothing, or longer than is allowed."""
    try:
        seconds = duration_ms(timeout, name="timeout") / 1000
    except InvalidDuration as error:
        raise InvalidActor(f"{whose}: {error}") from None
    if not 0 < seconds <= longest:
        raise InvalidActor(
            f"{whose}: timeout must be more than 0 and at most {longest:g} s, but is {seconds:g} s: "
            "longest_timeout allows more"
        )
    return seconds


def _rules(discard: object, whose: str) -> tuple[Discard, ...]:
    rules: Sequence[object] = discard if isinstance(discard, list | tuple) else (discard,)
    if discard is None:
        return ()
    for rule in rules:
        if not isinstance(rule, Discard):
            raise InvalidActor(
                f"{whose}: discard must be a Discard, as Discard(max_age='5h'), but is {rule!r}"
            )
    return tuple([rule for rule in rules if isinstance(rule, Discard)])
