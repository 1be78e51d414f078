"""The orders of one demo, drawn by its seed, and what has to come of them."""

import random

import msgspec

from .contracts import OrderPlaced

FLAKY, DECLINED, TWICE = 0.10, 0.03, 0.05
"""The parts of all orders whose bank fails at first, says no, and that are published twice."""

NEAR = 50
"""How many events may lie between the two."""

ACTORS = ("take_order", "charge_card", "send_receipt", "pack_parcel", "ship_parcel")
"""Who has to do something about an order that is paid, in order."""


class Plan(msgspec.Struct, frozen=True):
    """What will be published, and what has to come of it."""

    events: tuple[OrderPlaced, ...]
    """In the order of publishing, some of them twice."""
    duplicates: int
    effects: frozenset[tuple[str, str]]
    """Every (actor, order) that must be there, once."""
    dead: int
    """Deliveries that must end dead."""


def make_plan(orders: int, seed: int) -> Plan:
    """The same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a play, no secret
    first = [_order(number, chance) for number in range(1, orders + 1)]
    again = [number for number in range(orders) if chance.random() < TWICE]
    # Near the first, so that often the one is still being handled when the other comes.
    places = [*enumerate(first), *[(number + chance.uniform(0.5, NEAR), first[number]) for number in again]]
    events = [event for _, event in sorted(places, key=lambda place: place[0])]
    return Plan(
        events=tuple(events),
        duplicates=len(again),
        effects=frozenset((actor, event.order) for event in first for actor in _actors_of(event)),
        dead=sum(event.declined for event in first),
    )


def _order(number: int, chance: random.Random) -> OrderPlaced:
    fate = chance.random()
    return OrderPlaced(
        f"A-{number:06}",
        failures=chance.randint(1, 2) if fate < FLAKY else 0,
        declined=FLAKY <= fate < FLAKY + DECLINED,
        parcel_ms=chance.randint(1000, 2000),
    )


def _actors_of(event: OrderPlaced) -> tuple[str, ...]:
    return ACTORS[:1] if event.declined else ACTORS
