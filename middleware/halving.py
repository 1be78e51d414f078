"""Who of a batch is to blame when its handler raises: it is halved until the culprit stands alone.

A culprit costs two calls for each halving. When everything fails, as while a database is down, halving would
call the handler twice for each event and blame them all. So there are only so many calls for a batch, and
three events in a row that fail alone, all of the same error, make it likely that it is no fault of theirs.
The group that stands farthest from them is called next: if it fails of the same, too, the rest is spared.
"""

from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Generic, TypeVar

T = TypeVar("T")

IN_A_ROW = 3
"""Events that fail alone, one after another and of the same error, before it is asked whether all do."""

CULPRITS = 4
"""Culprits that the calls of one batch suffice to find, wherever they stand."""


def most_calls(size: int) -> int:
    """Calls of the handler for a batch of so many events, at most."""
    return CULPRITS * (1 + 2 * (size - 1).bit_length())


class Halving(Generic[T]):
    """Which of a batch are to be called next, until all have succeeded, were blamed or are to be spared."""

    def __init__(self, whole: Sequence[T]) -> None:
        self._groups = deque([tuple(whole)] if whole else [])
        self._calls_left = most_calls(len(whole))
        self._in_a_row = 0
        self._kind: type[BaseException] | None = None
        self.is_systemic = False
        """Whether what fails is no fault of single events."""

    def next(self) -> tuple[T, ...] | None:
        """The group to call next; None when there is none, or it is of no use to go on."""
        if not self._groups or not self._calls_left or self.is_systemic:
            return None
        self._calls_left -= 1
        return self._groups.pop() if self._in_a_row >= IN_A_ROW else self._groups.popleft()

    def succeeded(self) -> None:
        """A group has gone through."""
        self._in_a_row = 0

    def failed(self, group: Sequence[T], error: BaseException) -> bool:
        """A group has failed; whether it stood alone and is to blame, for else it is halved."""
        is_same = type(error) is self._kind
        self.is_systemic = is_same and self._in_a_row >= IN_A_ROW
        if len(group) > 1:
            middle = (len(group) + 1) // 2
            self._groups.extendleft((tuple(group[middle:]), tuple(group[:middle])))
            return False
        self._in_a_row = self._in_a_row + 1 if is_same else 1
        self._kind = type(error)
        return True

    def rest(self) -> list[T]:
        """Take what is left: it has neither succeeded nor been blamed."""
        left = list(chain.from_iterable(self._groups))
        self._groups.clear()
        return left
