"""What the benchmarks come to: rows of a table, and the arithmetic behind them."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

Samples = Mapping[str, Sequence[float]]
"""Every round's figure, by what it is of."""


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    case: str
    what: str
    measured: str
    goal: str = ""
    """Empty for a figure that has none."""
    met: bool | None = None
    """None where there is no goal."""
    samples: Samples = {}


class Cost(msgspec.Struct, frozen=True):
    """What one run came to. Processor times hardly change when others use the machine; rates do."""

    per_second: float
    process_us: float
    """Processor time of the process that is measured for each event, in microseconds."""
    server_us: float
    """The same of the server."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all (0 to 1) do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def rate_row(case: str, what: str, rates: Sequence[float]) -> Row:
    """A row for a rate a second, without a goal."""
    return Row(case, what, rate(median(rates)), samples={"per second": rates})


def cost_row(case: str, side: str, process: str, costs: Sequence[Cost]) -> Row:
    """A row for the processor time that each event took, of the process named and of the server."""
    ours, server = [cost.process_us for cost in costs], [cost.server_us for cost in costs]
    return Row(
        case,
        f"{side}: processor time for each, {process} + server",
        f"{median(ours):.1f} + {median(server):.1f} us",
        samples={f"{process} us": ours, "server us": server},
    )


def ratio_row(case: str, what: str, ours: Sequence[float], theirs: Sequence[float], goal: float) -> Row:
    """A row that compares two medians; met when ours is at least `goal` times theirs."""
    times = median(ours) / median(theirs)
    return Row(case, what, f"{times:.3g}x", f">= {goal:g}x", times >= goal)


def rate(value: float) -> str:
    """A rate a second, to three digits that count."""
    digits = max(0, 2 - math.floor(math.log10(value))) if value >= 1 else 2
    return f"{round(value, 2 - math.floor(math.log10(value))) if value >= 1 else value:,.{digits}f}/s"


def milliseconds(seconds: float) -> str:
    """A time of less than some seconds."""
    return f"{seconds * 1000:,.2f} ms"
