"""Where numbers are kept: added to by many threads, a group at a time, and taken out or shown by others."""

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .metrics import BY_NAME, Instrument

LabelValues = tuple[str, ...]
"""One value for each label of an instrument, in its order."""

_FEW = 8
"""Up to so many values are put into their buckets one by one; more are sorted first, which is quicker."""


class Exemplar(NamedTuple):
    """One value of a bucket that can be looked at: its trace was kept."""

    trace_id: str
    """32 hexadecimal digits."""
    value: float
    at: float
    """When it was measured, seconds since the epoch."""


class Tally:
    """One histogram: how many values fell into each bucket, and their sum."""

    __slots__ = ("counts", "exemplars", "total")

    def __init__(
        self, counts: list[int], total: float = 0.0, exemplars: Mapping[int, Exemplar] | None = None
    ) -> None:
        self.counts = counts
        """One for each bucket, and one for what is beyond them."""
        self.total = total
        self.exemplars: dict[int, Exemplar] = dict(exemplars or {})
        """The latest of each bucket, by its position, if any was traced."""

    def add(self, values: list[float], buckets: Sequence[float]) -> None:
        """Put values in; it may sort them."""
        counts = self.counts
        if len(values) <= _FEW:
            for value in values:
                counts[bisect_left(buckets, value)] += 1
        else:
            values.sort()
            below = 0
            for position, bound in enumerate(buckets):
                upto = bisect_right(values, bound, below)
                counts[position] += upto - below
                below = upto
            counts[-1] += len(values) - below
        self.total += sum(values)

    def show(self, exemplar: Exemplar, buckets: Sequence[float]) -> None:
        """Keep an exemplar of a value that is in here, unless its bucket has a later one."""
        self._show_in(bisect_left(buckets, exemplar.value), exemplar)

    def merge(self, other: "Tally") -> None:
        """Add another one."""
        for position, count in enumerate(other.counts):
            self.counts[position] += count
        self.total += other.total
        for position, exemplar in other.exemplars.items():
            self._show_in(position, exemplar)

    def _show_in(self, position: int, exemplar: Exemplar) -> None:
        known = self.exemplars.get(position)
        if known is None or known.at <= exemplar.at:
            self.exemplars[position] = exemplar


class Book:
    """Counters and histograms by instrument and labels. Not safe to use from several threads."""

    def __init__(self) -> None:
        self.counters: dict[str, dict[LabelValues, float]] = {}
        self.histograms: dict[str, dict[LabelValues, Tally]] = {}

    def __bool__(self) -> bool:
        return bool(self.counters or self.histograms)

    def add(self, instrument: Instrument, labels: LabelValues, by: float = 1) -> None:
        """Let a counter grow."""
        self._count(instrument.name, labels, by)

    def observe(self, instrument: Instrument, labels: LabelValues, values: list[float]) -> None:
        """Put values into a histogram; the list is not to be used afterwards."""
        if values:
            self._tally(instrument, labels).add(values, instrument.buckets)

    def observe_same(self, instrument: Instrument, labels: LabelValues, value: float, times: int) -> None:
        """Put the same value into a histogram, so many times."""
        if times:
            tally = self._tally(instrument, labels)
            tally.counts[bisect_left(instrument.buckets, value)] += times
            tally.total += value * times

    def show(self, instrument: Instrument, labels: LabelValues, exemplar: Exemplar) -> None:
        """Keep an exemplar of a value that was put into a histogram."""
        self._tally(instrument, labels).show(exemplar, instrument.buckets)

    def merge(self, other: "Book") -> None:
        """Add all of another book; what is no instrument here is left out, as one of another version."""
        for name, counters in other.counters.items():
            if name in BY_NAME:
                for labels, value in counters.items():
                    self._count(name, labels, value)
        for name, labels, tally in other.tallies():
            instrument = BY_NAME.get(name)
            if instrument is not None and len(tally.counts) == len(instrument.buckets) + 1:
                self._tally(instrument, labels).merge(tally)

    def tallies(self) -> Iterator[tuple[str, LabelValues, Tally]]:
        """Every histogram."""
        for name, known in self.histograms.items():
            for labels, tally in known.items():
                yield name, labels, tally

    def _count(self, name: str, labels: LabelValues, by: float) -> None:
        known = self.counters.get(name)
        if known is None:
            known = self.counters[name] = {}
        known[labels] = known.get(labels, 0) + by

    def _tally(self, instrument: Instrument, labels: LabelValues) -> Tally:
        known = self.histograms.setdefault(instrument.name, {})
        tally = known.get(labels)
        if tally is None:
            tally = known[labels] = Tally([0] * (len(instrument.buckets) + 1))
        return tally


class Cells:
    """The numbers of one process.

    Whoever records holds the `lock`, once for a whole group of deliveries, and writes into `fresh`.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.fresh = Book()
        """What was recorded since it was taken last."""
        self._taken = Book()

    def take(self) -> Book:
        """What was recorded since it was asked last."""
        with self.lock:
            return self._take()

    def total(self) -> Book:
        """A copy of all that was ever recorded."""
        copy = Book()
        with self.lock:
            self._take()
            copy.merge(self._taken)
        return copy

    def _take(self) -> Book:
        fresh, self.fresh = self.fresh, Book()
        self._taken.merge(fresh)
        return fresh
