"""For how long the parts of a process have not moved, without any I/O."""

from collections.abc import Mapping

MOST_BETWEEN = 2.0
"""Seconds that count at most between two looks: if the whole process stood still, no part is to blame."""


class Stillness:
    """Is told once a second what each part has come to."""

    def __init__(self) -> None:
        self._marks: Mapping[str, int | None] = {}
        self._still: dict[str, float] = {}
        self._looked_at: float | None = None

    def look(self, marks: Mapping[str, int | None], now: float) -> dict[str, float]:
        """Seconds for which each part has stood still, as far as it was looked.

        `marks` has a number of each part, another one whenever it has moved; None if it has nothing to do.
        """
        between = 0.0 if self._looked_at is None else min(now - self._looked_at, MOST_BETWEEN)
        self._still = {
            part: 0.0 if mark is None or mark != self._marks.get(part) else self._still[part] + between
            for part, mark in marks.items()
        }
        self._marks, self._looked_at = dict(marks), now
        return self._still
