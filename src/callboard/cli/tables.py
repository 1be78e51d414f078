"""Tables, and what becomes of them where the terminal is too narrow: no name and no number is ever broken."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

BETWEEN = 3
"""Columns of a terminal that a column takes beside its widest cell."""

WRAPPED_FROM = 30
"""Cells that are longer are wrapped between their words, as lists and reasons are; a name is one word."""


class Rows:
    """Rows under headings; a paragraph for each row, without what is 0, where a cell would be broken."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[object]], texts: int) -> None:
        self._columns = columns
        self._rows = [
            [
                Text.from_markup(f"{cell:,}" if isinstance(cell, int) else str(cell), emoji=False)
                for cell in row
            ]
            for row in rows
        ]
        self._texts = texts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table if there is room for it, if need be with wrapped headings, or else the paragraphs."""
        cells = [max(map(_least_width, column), default=0) for column in zip(*self._rows, strict=True)]
        cells = cells or [0] * len(self._columns)
        for widest in (cell_len, _longest_word):
            widths = [max(cell, widest(name)) for cell, name in zip(cells, self._columns, strict=True)]
            if sum(widths) + BETWEEN * len(widths) <= options.max_width:
                yield self._drawn(widths)
                return
        yield from self._paragraphs()

    def _drawn(self, widths: Sequence[int]) -> Table:
        made = Table(box=SIMPLE_HEAD, pad_edge=False)
        for position, (column, width) in enumerate(zip(self._columns, widths, strict=True)):
            is_wrapped = any(row[position].cell_len > width for row in self._rows)
            justify: Literal["left", "right"] = "left" if position < self._texts else "right"
            heading = "\n".join(wrap(column, width))
            made.add_column(heading, justify=justify, min_width=width, no_wrap=not is_wrapped)
        for row in self._rows:
            made.add_row(*row)
        return made

    def _paragraphs(self) -> Iterator[RenderableType]:
        widest = max(map(len, self._columns[1 : self._texts]), default=0)
        for name, *others in self._rows:
            yield Text("")
            yield name
            named = list(zip(self._columns[1:], others, strict=True))
            for column, cell in named[: self._texts - 1]:
                yield Padding(Text(f"{column:<{widest}}  ", overflow="fold").append_text(cell), (0, 0, 0, 2))
            told = [(column, cell) for column, cell in named[self._texts - 1 :] if cell.plain != "0"]
            numbers = [Text(f"{column} ").append_text(cell) for column, cell in told]
            if numbers:
                yield Padding(Text(", ").join(numbers), (0, 0, 0, 2))
        yield Text("")


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _least_width(cell: Text) -> int:
    return cell.cell_len if cell.cell_len <= WRAPPED_FROM else _longest_word(cell.plain)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, texts: int = 1) -> Rows:
    """A table of markup; the first `texts` columns are words, the others numbers."""
    return Rows(columns, rows, texts)
