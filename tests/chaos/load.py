"""What is asked of the system under chaos: the kinds of events, who handles them and how each must end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from .asked import FOLDER as ASKED

Ending = Literal["completed", "dead", "discarded"]

FOLLOW = "follow"
"""The actor of what the handler of a `cause` publishes."""

MINE = "mine"
"""An actor whose handler ends its process when the token is `FATAL`; no round asks for it."""

MINES = "mines"
"""The same in batches."""

FATAL = "fatal"

SLOW_SECONDS = 0.02

CURTAIN = "curtain"

USER = "stagehand"
"""The server's user that all processes of the load are; who watches them is another."""


class Event(msgspec.Struct, frozen=True):
    """One kind of event."""

    name: str
    actors: tuple[str, ...]
    """Whom a publish of it is delivered to: all of them, or none."""
    weight: int
    """How often it is published, compared with the others."""
    steady: int = 0
    """The same in the steady load under which pools are restarted."""
    ending: Ending = "completed"
    causes: bool = False
    """Its handler publishes one follow-up, which must exist if the delivery completed, and only then."""


EVENTS = {
    event.name: event
    for event in (
        Event("quick", ("quick", "echo"), 8, 80),
        Event("slow", ("slow",), 3, 30),
        Event("flaky", ("flaky",), 3, 20),
        Event("cause", ("cause",), 3, 30, causes=True),
        Event("waiting", ("waiting",), 3, 30),
        Event("batched", ("batched",), 3, 40),
        Event("doomed", ("doomed",), 1, ending="dead", causes=True),
        Event("dropped", ("dropped",), 1, ending="discarded"),
        Event("long", ("long",), 0, 30),
        Event("lengthy", ("lengthy",), 0, 30),
        Event("patient", ("patient",), 0, 3),
        Event("ordered", ("ordered",), 0, 40),
        Event("itemised", ("itemised",), 0, 6),
    )
}

QUEUES = {
    "quick": "fast",
    "echo": "echo",
    "slow": "slow",
    "flaky": "slow",
    "cause": "chain",
    FOLLOW: "chain",
    "waiting": "loop",
    "batched": "batches",
    "doomed": "end",
    "dropped": "end",
    MINE: "mine",
    MINES: "mines",
    "long": "long",
    "lengthy": "loop",
    "patient": "loop",
    "ordered": "ordered",
    "itemised": "items",
}
"""The queue of each actor."""


def follow_up_of(token: str) -> str:
    """The token of what the handler of a cause publishes."""
    return f"{token}>"


class Refused(Exception):
    """The publish was refused: nothing of it may ever be delivered."""


class Unsure(Exception):
    """The publish may or may not have been accepted."""


class Failed(Exception):
    """What a handler raises on purpose."""


class Place(msgspec.Struct, frozen=True):
    """Where a process of the load finds what it works on; handed to it as JSON."""

    side: Literal["callboard", "dramatiq"]
    url: str
    member: str
    """The name of this process among all of the round."""
    directory: str
    """Where history, effects and traps are."""
    lease_ms: int
    threads: int
    seed: int

    @property
    def asked(self) -> Path:
        """Where it finds what it is asked."""
        return Path(self.directory) / ASKED

    @property
    def curtain(self) -> Path:
        """The load is over for publishers once this file is there."""
        return Path(self.directory) / CURTAIN


class Side(Protocol):
    """A system under test, as the processes of the load use it."""

    events: Sequence[str]
    """The kinds of events that it can be asked for."""

    def publish(self, event: str, tokens: Sequence[str], *, keyed: bool, after_ms: int) -> None:
        """Publish one event for each token; raises `Refused` or `Unsure`.

        With `keyed` the token is the dedup key too, so that publishing it again is safe.
        """
        ...

    def start(self) -> None:
        """Begin to work."""
        ...

    def stop(self) -> None:
        """Stop as at an operator's wish."""
        ...
