"""Prints the digest: as a table if rich is installed, else as lines."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from .digest import Row

COLUMNS = ("repository", "hooks", "open issues", "open pulls", "of late", "last active")
FAILURES = ("failure", "timed_out", "startup_failure", "action_required")
"""How a workflow's latest run ends when somebody should look."""


def show(rows: Sequence[Row]) -> None:
    """Print the digest of every repository."""
    lines = [cells(row) for row in rows]
    if find_spec("rich"):
        _show_rich(lines)
    else:
        _show_plain(lines)


def cells(row: Row) -> tuple[str, ...]:
    """A line of the digest, a cell for each of `COLUMNS`."""
    states = row.states
    open_issues = str(states.get("issue open", ""))
    labels = _listed(row.labels)
    of_late = {
        "merged": states.get("pull merged", 0),
        "released": states.get("release published", 0),
        "failing": sum(states.get(f"workflow {ending}", 0) for ending in FAILURES),
    }
    return (
        row.repository,
        str(row.webhooks),
        f"{open_issues} ({labels})" if labels else open_issues,
        str(states.get("pull open", "")),
        _listed(of_late),
        (row.last_activity or "")[: len("2020-01-31")],
    )


def _listed(counts: Mapping[str, int]) -> str:
    """The counts that are not zero, as in `2 bug, 1 docs`."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _show_rich(lines: Sequence[Sequence[str]]) -> None:
    from rich import box  # noqa: PLC0415 - rich is optional
    from rich.console import Console  # noqa: PLC0415 - rich is optional
    from rich.table import Table  # noqa: PLC0415 - rich is optional
    from rich.text import Text  # noqa: PLC0415 - rich is optional

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "hooks" else "left")
    for line in lines:
        table.add_row(*map(Text, line))
    Console().print(table)


def _show_plain(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(COLUMNS, *lines, strict=True)]
    for line in (COLUMNS, *lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())  # noqa: T201 - this is what the example prints
