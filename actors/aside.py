"""Settlements that could not be written, each waiting for its next try while others go on."""

from collections.abc import Iterable

import msgspec

from ..messages.delivery import Delivery
from .mailbox.mailbox import Settlement

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class Trial(msgspec.Struct):
    """What became of the tries to write one settlement."""

    settlement: Settlement
    pause: float = _FIRST_PAUSE / 2
    """Seconds between the last try and the next; it doubles."""
    due: float = 0.0
    """When it is tried next, seconds of the monotonic clock."""
    tries: int = 0
    """How often it was tried by itself."""
    faults: int = 0
    """Tries that ended with an error that is not the mailbox's."""


class Aside:
    """What was put aside; the settler's thread alone uses it."""

    def __init__(self) -> None:
        self._trials: dict[Delivery, Trial] = {}
        self._waiting: dict[Delivery, Trial] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, settlement: Settlement, now: float, *, tried: bool = True, at_fault: bool = False) -> Trial:
        """Put a settlement aside, for twice as long as the last time."""
        delivery = settlement.delivery
        trial = self._trials.setdefault(delivery, Trial(settlement))
        trial.settlement = settlement
        trial.pause = min(2 * trial.pause, _LONGEST_PAUSE)
        trial.due = now + trial.pause
        trial.tries += tried
        trial.faults += at_fault
        self._waiting[delivery] = trial
        return trial

    def take(self, until: float, most: int) -> list[Settlement]:
        """Take out up to `most` whose next try is due at `until`; what was refused most often comes last."""
        due = [trial for trial in self._waiting.values() if trial.due <= until]
        due.sort(key=lambda trial: trial.tries)
        chosen = [trial.settlement for trial in due[:most]]
        for settlement in chosen:
            del self._waiting[settlement.delivery]
        return chosen

    def next_in(self, now: float) -> float | None:
        """Seconds until the next one is due; None if there is none."""
        return max(0.0, min(trial.due for trial in self._waiting.values()) - now) if self._waiting else None

    def forget(self, deliveries: Iterable[Delivery]) -> None:
        """These are done with."""
        if self._trials:
            for delivery in deliveries:
                self._trials.pop(delivery, None)
                self._waiting.pop(delivery, None)
