"""The results as a table for a terminal, as Markdown and as JSON."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from .figures import Row
from .machine import Machine

HEADINGS = ("case", "what", "goal", "measured", "")


class Results(msgspec.Struct, frozen=True):
    """All that one run found out."""

    machine: Machine
    is_short: bool
    seconds: float
    """How long the run took."""
    rows: Sequence[Row]
    failed: Sequence[str] = ()
    """The cases that ended with an error."""

    @property
    def unmet(self) -> int:
        """How many goals were not met."""
        return sum(row.met is False for row in self.rows)

    @property
    def summary(self) -> str:
        """One line on how it went."""
        goals = sum(row.met is not None for row in self.rows)
        failed = f"; failed: {', '.join(self.failed)}" if self.failed else ""
        length = "short" if self.is_short else "full"
        return f"{goals - self.unmet} of {goals} goals met in {self.seconds:.0f} s ({length} run){failed}"

    def table(self) -> str:
        """Columns of text."""
        lines = [HEADINGS, *map(_cells, self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
        lines.insert(1, tuple("-" * width for width in widths))
        padded = (zip(line, widths, strict=True) for line in lines)
        text = "\n".join("  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in padded)
        return f"{self.machine}\n\n{text}\n\n{self.summary}\n"

    def markdown(self) -> str:
        """The same as a Markdown table."""
        lines = [HEADINGS, ("---",) * len(HEADINGS), *map(_cells, self.rows)]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{self.machine}\n\n{text}\n\n{self.summary}\n"

    def write(self, path: Path) -> None:
        """Every round's figure too, as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")


def _cells(row: Row) -> tuple[str, ...]:
    met = {True: "met", False: "NOT MET", None: ""}[row.met]
    return (row.case, row.what, row.goal, row.measured, met)
