"""What a dashboard is made of, as plain values: rows of panels, each with the queries that it draws."""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """How a panel draws what its queries give."""

    LINES = "lines"
    STACKED = "stacked"
    NUMBER = "number"
    BARS = "bars"


class Unit(StrEnum):
    """What figures are of, in Grafana's words."""

    COUNT = "short"
    PER_SECOND = "ops"
    SECONDS = "s"
    SHARE = "percentunit"
    BYTES = "bytes"


class Query(msgspec.Struct, frozen=True):
    """One query of a panel."""

    expr: str
    legend: str = ""
    """What a series is called: `{{label}}` stands for the label's value."""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One picture."""

    title: str
    says: str
    """What is seen in it, and what to do about it."""
    queries: tuple[Query, ...]
    unit: Unit
    kind: Kind = Kind.LINES
    width: int = 8
    """Of the 24 columns of a dashboard."""
    warn: float | None = None
    """From here on a number is orange; below nothing is."""
    alarm: float | None = None
    """From here on a number is red. Less than `warn` where less is worse."""


class Row(msgspec.Struct, frozen=True):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


class Variable(msgspec.Struct, frozen=True):
    """A choice at the top of a dashboard, of the values that a label has."""

    name: str
    label: str
    query: str


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """One dashboard."""

    file: str
    """The name of its file, without the suffix; also the last part of its uid."""
    title: str
    says: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()


def quantiles(
    metric: str, by: str, *, where: str = "", shares: tuple[str, ...] = ("0.5", "0.99")
) -> tuple[Query, ...]:
    """Quantiles of a histogram, for each value of a label."""
    per_bucket = rates(f"{metric}_bucket", f"{by}, le", where=where)
    return tuple(
        Query(f"histogram_quantile({share}, {per_bucket.expr})", f"{_legend(by)} p{float(share) * 100:g}")
        for share in shares
    )


def rates(metric: str, by: str, *, where: str = "") -> Query:
    """How often something is counted a second, for each value of labels."""
    matching = f"{{{where}}}" if where else ""
    return Query(f"sum by ({by}) (rate({metric}{matching}[$__rate_interval]))", _legend(by))


def share(part: Query, whole: Query, name: str = "") -> Query:
    """What one query gives, as a share of what another does."""
    return Query(f"{part.expr} / {whole.expr}", f"{part.legend} {name}".strip())


def _legend(by: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
