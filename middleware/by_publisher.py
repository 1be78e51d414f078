"""How an actor's policy changes by what the publisher said of one event."""

from collections.abc import Generator

import msgspec

from ..messages.delivery import Outcome
from ..messages.event_options import EventOptions
from .attempt import Attempt, Policy
from .discard import Discard, discard
from .retry import DEFAULT_RETRY, Retry


def by_publisher(attempt: Attempt, said: EventOptions) -> Generator[None, Outcome, Outcome]:
    """Let an attempt be guarded as its publisher said, within what the actor's app allows."""
    declared = attempt.policy
    attempt.policy = policy_by(declared, said)
    if said.timeout_ms is not None:
        attempt.timeout = min(said.timeout_ms / 1000, declared.longest_timeout)
    if attempt.policy.discard and not declared.discard:
        # The layer stands only around actors that discard something by themselves.
        return (yield from discard(attempt))
    return (yield)


def policy_by(declared: Policy, said: EventOptions) -> Policy:
    """The same policy with what the publisher said in the place of what was declared."""
    return msgspec.structs.replace(
        declared, retry=_retry_by(declared.retry or DEFAULT_RETRY, said), discard=_discard_by(declared, said)
    )


def _retry_by(retry: Retry, said: EventOptions) -> Retry:
    return msgspec.structs.replace(
        retry,
        max_attempts=retry.max_attempts if said.max_attempts is None else said.max_attempts,
        give_up_after_ms=retry.give_up_after_ms if said.give_up_after_ms is None else said.give_up_after_ms,
    )


def _discard_by(declared: Policy, said: EventOptions) -> tuple[Discard, ...]:
    """Rules by age get the publisher's age; without any there is one more."""
    if said.max_age_ms is None:
        return declared.discard
    rules = tuple(rule.with_max_age(said.max_age_ms) for rule in declared.discard)
    if any(rule.max_age_ms is not None for rule in rules):
        return rules
    return (Discard(max_age=said.max_age_ms / 1000), *rules)
