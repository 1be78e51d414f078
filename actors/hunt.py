"""When a worker process empties itself to run suspects alone, how long it tries, and when it gives up.

Emptying a process costs all that it would have done meanwhile. So a hunt that fails is followed by a pause
three times as long, and the next one has twice the patience: hunts for nothing take a quarter of a process's
time at most, and in the end it waits longer than its handlers take. Handlers that outlast even the longest
patience are let be: a suspect runs beside them, and is charged nothing if it is lost.
"""

from collections.abc import Set as AbstractSet
from enum import Enum, auto
from math import inf

from ..messages.delivery import Delivery
from .mailbox.suspects import Suspects

FIRST_PATIENCE = 1.0
LONGEST_PATIENCE = 64.0
"""Seconds to wait for the process to be empty."""

TURN_SECONDS = 1.0
"""Suspects are run one after another for this long, or one that takes longer; then others have a turn."""

LONGEST_ALONE = 600.0
"""Seconds after which a suspect that still runs is alone no more: the others might never have a turn."""

_PAUSES = 3

MOST_TOGETHER = 32
"""Suspects that a process runs beside others at a time: if it is lost, so many more must run alone."""

NOT_NOW = Suspects(together=0, hunts=False)
"""What a worker wants to do about suspects when it is about other things."""


class Step(Enum):
    """What a hunting consumer does next."""

    WAIT = auto()
    FETCH = auto()
    """A suspect, for nothing else is held."""
    END = auto()
    """Fetch as before."""


class Hunt:
    """The hunts of one worker process, one at a time. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.patience = FIRST_PATIENCE
        """How long the next hunt waits for the process to be empty."""
        self._again_at = 0.0
        self._began = 0.0
        self._emptied: float | None = None
        self._fetched = 0.0
        self._beside: frozenset[Delivery] = frozenset()

    @property
    def is_beside_others(self) -> bool:
        """Whether what is fetched now runs beside handlers that would not end; it cannot be charged then."""
        return bool(self._beside)

    def may_begin(self, now: float) -> bool:
        """Whether this process wants to be told of suspects."""
        return now >= self._again_at

    def pause(self, now: float) -> float:
        """Seconds until the next hunt may begin; endless if it may already."""
        return self._again_at - now if self._again_at > now else inf

    def begin(self, now: float) -> None:
        """A consumer was told of suspects."""
        self._began, self._emptied, self._beside = now, None, frozenset()

    def look(self, now: float, held: AbstractSet[Delivery]) -> Step:
        """What to do while the process holds `held`."""
        if held <= self._beside:
            return self._step_when_empty(now)
        if self._emptied is not None:
            return Step.END if now - self._fetched > LONGEST_ALONE else Step.WAIT
        if now - self._began <= self.patience:
            return Step.WAIT
        if self.patience < LONGEST_PATIENCE:
            return Step.END
        # Kept from here on, for nothing more can start: some may end, and then the others are what is left.
        self._beside = frozenset(held)
        return Step.WAIT

    def end(self, now: float) -> None:
        """The others have at least as long as the hunt took, and thrice that if it was for nothing."""
        took = now - self._began
        if self._emptied is None:
            self.patience = min(2 * self.patience, LONGEST_PATIENCE)
            self._again_at = now + _PAUSES * took
        else:
            self.patience = LONGEST_PATIENCE if self._beside else FIRST_PATIENCE
            self._again_at = now + (_PAUSES if self._beside else 1) * took
        self._beside = frozenset()

    def _step_when_empty(self, now: float) -> Step:
        if self._emptied is None:
            self._emptied = now
        elif now - self._emptied > TURN_SECONDS:
            return Step.END
        self._fetched = now
        return Step.FETCH
