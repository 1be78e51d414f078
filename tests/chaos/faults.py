"""The faults, and the schedule of a round: drawn from a seed, so that it can be played again."""

import random
from typing import Literal

import msgspec

FaultKind = Literal[
    "kill worker",
    "trap",
    "stop worker",
    "end worker",
    "kill publisher",
    "kill server",
    "stop server",
    "stop server for long",
    "load server",
    "flush scripts",
    "cut",
    "refuse",
    "reset",
    "black hole",
    "full",
    "read only",
    "forbid",
    "set clock",
    "crowd",
]

GENTLE: tuple[FaultKind, ...] = (
    "end worker",
    "kill publisher",
    "flush scripts",
    "cut",
    "refuse",
    "reset",
    "full",
    "set clock",
    "crowd",
)
"""Faults that cost nobody a lease, and so explain no handler that started twice."""

WEIGHTS: dict[FaultKind, float] = {
    "kill worker": 4,
    "trap": 3,
    "stop worker": 2,
    "end worker": 1,
    "kill publisher": 1.5,
    "kill server": 1.5,
    "stop server": 1,
    "stop server for long": 0.4,
    "load server": 1,
    "flush scripts": 1,
    "cut": 3,
    "refuse": 2,
    "reset": 1,
    "black hole": 1,
    "full": 1,
    "read only": 1,
    "forbid": 1.5,
    "set clock": 1.5,
    "crowd": 1.5,
}

TRAP_POINTS = ("mid-handler", "effect done")
CALLS = ("publish", "fetch", "settle", "renew")

POINTS: dict[FaultKind, tuple[str, ...]] = {
    "trap": TRAP_POINTS,
    "cut": CALLS,
    "refuse": CALLS,
    "forbid": ("commands", "writes", "keys"),
    "set clock": ("an hour ahead", "an hour behind"),
}
"""What a kind of fault has a choice of, where it has one."""

FIRST_AT = 0.3


class Fault(msgspec.Struct, frozen=True):
    """One fault: when, what, and the dice for whatever is to be chosen when it is made."""

    at: float
    """Seconds after the load has begun."""
    kind: FaultKind
    seconds: float
    """How long it lasts, where it lasts."""
    dice: int
    point: str = ""
    """One of `POINTS`: the place in a handler, the call that it happens to, what is forbidden, the hour."""

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"{self.kind}: {self.point}" if self.point else self.kind


def schedule(seed: int, seconds: float, lease: float) -> list[Fault]:
    """The faults of one round, in order of time; every fourth seed has gentle ones alone."""
    dice = random.Random(seed)  # noqa: S311 - it must be the same again
    gentle = is_gentle(seed)
    kinds = GENTLE if gentle else tuple(WEIGHTS)
    chosen: list[FaultKind] = [] if gentle else ["kill worker", "trap"]
    chosen += dice.choices(kinds, [WEIGHTS[kind] for kind in kinds], k=dice.randint(5, 7))
    faults = [_draw(dice, kind, seconds, lease) for kind in chosen]
    return sorted(faults, key=lambda fault: fault.at)


def is_gentle(seed: int) -> bool:
    """Whether no fault of a round's schedule explains a handler that started twice."""
    return seed % 4 == 0


def _draw(dice: random.Random, kind: FaultKind, seconds: float, lease: float) -> Fault:
    lasts = {
        "stop worker": (1.5 * lease, 3 * lease),
        "kill server": (0.05, 0.4),
        "stop server": (0.7, 1.2),
        "stop server for long": (6.0, 6.0),
        "load server": (0.05, 0.2),
        "flush scripts": (0.2, 0.5),
        "black hole": (0.3, 1.0),
        "full": (0.2, 0.6),
        "read only": (0.2, 0.6),
        "forbid": (0.1, 0.4),
    }.get(kind, (0.0, 0.0))
    return Fault(
        at=dice.uniform(FIRST_AT, seconds),
        kind=kind,
        seconds=dice.uniform(*lasts),
        dice=dice.randrange(1 << 30),
        point=dice.choice(POINTS.get(kind, ("",))),
    )
