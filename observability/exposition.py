"""Numbers as text for Prometheus, in its own format or in OpenMetrics.

prometheus_client's encoders take 6 to 11 us for each sample, this one a tenth of that: a scrape of a pool
with many events and queues has thousands.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from .cells import Book, Exemplar, LabelValues, Tally
from .metrics import INSTRUMENTS, Instrument, Kind

Values = Mapping[LabelValues, float]
"""The value of each series of an instrument that is no histogram, by its labels."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def exposition(book: Book, states: Mapping[str, Values], namespace: str, *, openmetrics: bool) -> bytes:
    """The body of a scrape: what was recorded, and the gauges and infos of `states` by instrument."""
    lines: list[str] = []
    for instrument in INSTRUMENTS:
        name = instrument.name
        values = states.get(name) or book.counters.get(name)
        if values:
            lines += _head(instrument, namespace, openmetrics=openmetrics)
            lines += _values(f"{namespace}_{name}", instrument.labels, values)
        elif name in book.histograms:
            lines += _head(instrument, namespace, openmetrics=openmetrics)
            for labels, tally in book.histograms[name].items():
                exemplars = tally.exemplars if openmetrics else {}
                lines += _tally(f"{namespace}_{name}", instrument, labels, tally, exemplars)
    lines.append("# EOF\n" if openmetrics else "")
    return "\n".join(lines).encode()


def wants_openmetrics(accept: str) -> bool:
    """Whether a client's `Accept` names OpenMetrics, which those that want it name first."""
    return "application/openmetrics-text" in accept


def _head(instrument: Instrument, namespace: str, *, openmetrics: bool) -> tuple[str, str]:
    name, kind = f"{namespace}_{instrument.name}", instrument.kind.value
    if openmetrics:
        # There a family's name has no ending, and its samples have.
        name = name.removesuffix("_total").removesuffix("_info" if instrument.kind is Kind.INFO else "")
    elif instrument.kind is Kind.INFO:
        kind = Kind.GAUGE.value
    words = instrument.help.replace("\\", "\\\\")
    return f"# HELP {name} {words}", f"# TYPE {name} {kind}"


def _values(name: str, labels: tuple[str, ...], values: Values) -> Iterator[str]:
    for each, value in values.items():
        told = _told(labels, each)
        yield f"{name}{{{told}}} {value!r}" if told else f"{name} {value!r}"


def _tally(
    name: str, instrument: Instrument, labels: LabelValues, tally: Tally, exemplars: Mapping[int, Exemplar]
) -> Iterator[str]:
    told = _told(instrument.labels, labels)
    comma = "," if told else ""
    upto = 0
    for position, (bound, count) in enumerate(zip(_bounds(instrument.buckets), tally.counts, strict=True)):
        upto += count
        shown = _shown(exemplars[position]) if position in exemplars else ""
        yield f'{name}_bucket{{{told}{comma}le="{bound}"}} {upto}{shown}'
    yield f"{name}_count{{{told}}} {upto}"
    yield f"{name}_sum{{{told}}} {tally.total!r}"


def _shown(exemplar: Exemplar) -> str:
    return f' # {{trace_id="{_escaped(exemplar.trace_id)}"}} {exemplar.value!r} {exemplar.at:.3f}'


@lru_cache(64)
def _bounds(buckets: tuple[float, ...]) -> tuple[str, ...]:
    return (*(repr(float(bound)) for bound in buckets), "+Inf")


@lru_cache(1 << 16)
def _told(labels: tuple[str, ...], values: LabelValues) -> str:
    """Labels as they stand between braces; declared ones are few, and the same at each scrape."""
    return ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
