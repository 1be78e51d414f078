"""Numbers as prometheus_client's registries want them: families of samples. None has a `_created` series."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from .cells import Book, LabelValues, Tally
from .metrics import INSTRUMENTS, Instrument, Kind, Seer

Values = dict[LabelValues, float]
"""The value of each series of an instrument that is no histogram, by its labels."""

_ENDINGS = {Kind.COUNTER: "_total", Kind.INFO: "_info"}
"""What a family's name does not have, and the names of its samples do."""


class BookCollector(Collector):
    """Shows a book in a registry; `book` is asked at each scrape."""

    def __init__(self, book: Callable[[], Book], namespace: str) -> None:
        self._book = book
        self._namespace = namespace

    def describe(self) -> Iterable[Metric]:
        """The families there may be, so that a registry refuses others of their names."""
        return [family(each, self._namespace) for each in INSTRUMENTS if _is_recorded(each)]

    def collect(self) -> Iterator[Metric]:
        """The families that have samples."""
        book = self._book()
        for instrument in INSTRUMENTS:
            if instrument.name in book.counters:
                yield values_of(instrument, book.counters[instrument.name], self._namespace)
            elif instrument.name in book.histograms:
                yield _tallies_of(instrument, book.histograms[instrument.name], self._namespace)


def _is_recorded(instrument: Instrument) -> bool:
    """Whether a process counts it by itself; the rest is a state that is looked at."""
    return instrument.kind in (Kind.COUNTER, Kind.HISTOGRAM) and instrument.seer is not Seer.COLLECTOR


def family(instrument: Instrument, namespace: str) -> Metric:
    """The family of an instrument, without samples."""
    name = f"{namespace}_{instrument.name}".removesuffix(_ENDINGS.get(instrument.kind, ""))
    return Metric(name, instrument.help, instrument.kind.value)


def values_of(instrument: Instrument, values: Values, namespace: str) -> Metric:
    """A family of counters, gauges or infos."""
    made = family(instrument, namespace)
    name = f"{namespace}_{instrument.name}"
    made.samples = [
        Sample(name, dict(zip(instrument.labels, labels, strict=True)), value)
        for labels, value in values.items()
    ]
    return made


def _tallies_of(instrument: Instrument, tallies: dict[LabelValues, Tally], namespace: str) -> Metric:
    made = family(instrument, namespace)
    bounds = [*(repr(float(bound)) for bound in instrument.buckets), "+Inf"]
    for labels, tally in tallies.items():
        made.samples += _samples_of(
            made.name, dict(zip(instrument.labels, labels, strict=True)), tally, bounds
        )
    return made


def _samples_of(name: str, labels: dict[str, str], tally: Tally, bounds: list[str]) -> Iterator[Sample]:
    upto = 0
    for position, (bound, count) in enumerate(zip(bounds, tally.counts, strict=True)):
        upto += count
        shown = tally.exemplars.get(position)
        exemplar = None if shown is None else Exemplar({"trace_id": shown.trace_id}, shown.value, shown.at)
        yield Sample(f"{name}_bucket", {**labels, "le": bound}, upto, exemplar=exemplar)
    yield Sample(f"{name}_count", labels, upto)
    yield Sample(f"{name}_sum", labels, tally.total)
