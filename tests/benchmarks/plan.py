"""How much is measured: short or full, how many rounds, on which server."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from tests.servers import Kind

T = TypeVar("T")

WORTH_TELLING = 0.5
"""Seconds a take lasts before progress is told of it."""


class Plan(msgspec.Struct, frozen=True):
    """What one run of the benchmarks is to do."""

    server: Kind
    is_short: bool = False
    rounds_asked: int | None = None
    """Rounds of every case, in place of its own number."""

    def pick(self, *, short: T, full: T) -> T:
        """A size by the length of the run."""
        return short if self.is_short else full

    def rounds(self, *, short: int, full: int) -> int:
        """The number of rounds of a case."""
        return self.rounds_asked or self.pick(short=short, full=full)


def interleave(case: str, rounds: int, takes: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Measure A B C A B C ..., so that what the machine does meanwhile hits all alike."""
    results: dict[str, list[T]] = {label: [] for label in takes}
    for number in range(1, rounds + 1):
        for label, take in takes.items():
            began = time.monotonic()
            results[label].append(take())
            if (took := time.monotonic() - began) > WORTH_TELLING:
                progress(f"{case} {number}/{rounds} {label}: {took:.1f} s")
    return results


def progress(text: str) -> None:
    """Tell how far it is, apart from the results."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()
