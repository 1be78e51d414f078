"""What an actor registers in the mailbox: whom its events reach it by, how they are told apart, its lanes."""

from collections.abc import Mapping

from msgspec import UnsetType

from ..messages.contract import Contract
from ..messages.errors import InvalidActor
from ..messages.shape import type_faults
from ..middleware.dedup.option import Dedup
from .actor_options import Said
from .mailbox.subscriptions import Subscription

Dedups = Dedup | UnsetType | None
"""What is said of dedup: None for none, `UNSET` for as each contract says."""


def windows_of(contracts: Mapping[str, Contract], dedup: Dedups) -> dict[str, int]:
    """How long each contract's completions are remembered, milliseconds."""
    said = dedup.window_ms if isinstance(dedup, Dedup) else None
    return {name: contract.window_ms if said is None else said for name, contract in contracts.items()}


def subscription_of(
    actor: str, said: Said, contracts: Mapping[str, Contract], dedup: Dedups, order: int
) -> Subscription:
    """The subscription of an actor; raises `InvalidActor` for options that its contracts do not allow."""
    faults = [*_lane_faults(said, contracts), *_key_faults(dedup, contracts)]
    if faults:
        raise InvalidActor([f"{actor}: {fault}" for fault in faults])
    return Subscription(
        actor,
        said.queue,
        windows_of(contracts, dedup),
        order,
        said.concurrency,
        said.ordered,
        _key_fields(dedup),
        {name: each.retention_ms for name, each in contracts.items() if each.retention_ms is not None},
    )


def _key_fields(dedup: Dedups) -> tuple[str, ...] | None:
    """The fields that make the key: none of them for the event's id, None for the contract's."""
    if dedup is None:
        return ()
    if isinstance(dedup, Dedup) and dedup.store is None:
        return dedup.fields or None
    return None


def _lane_faults(said: Said, contracts: Mapping[str, Contract]) -> list[str]:
    faults = []
    limit: object = said.concurrency
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        faults.append(f"concurrency must be a whole number from 1, but is {limit!r}")
    if said.ordered:
        faults += [
            f'ordered=True needs an entity, and {name} names none: declare key="..." in its class line'
            for name, contract in contracts.items()
            if not contract.key
        ]
    return faults


def _key_faults(dedup: Dedups, contracts: Mapping[str, Contract]) -> list[str]:
    if not isinstance(dedup, Dedup):
        return []
    if callable(dedup.key) and dedup.store is None:
        return ["a callable key needs a store: name fields, which every publisher can read"]
    faults = [
        f"dedup names `{field}`, which is no field of {name}: choose of "
        f"{', '.join(contract.cls.__struct_fields__) or 'none'}"
        for name, contract in contracts.items()
        for field in dedup.fields
        if field not in contract.cls.__struct_fields__
    ]
    sensitive = [type_faults(contract.cls, dedup.fields) for contract in contracts.values()]
    return [*faults, *(f"dedup: {fault}" for each in sensitive for fault in each)]
