"""Tables, and what becomes of them where the terminal is too narrow: no name and no number is ever broken."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

BETWEEN = 3
"""Columns of a terminal that a column takes beside its widest cell."""


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
        """The table if there is room for it, or else the paragraphs."""
        widths = self._widths()
        if sum(widths) + BETWEEN * len(widths) <= options.max_width:
            yield self._drawn(widths)
        else:
            yield from self._paragraphs()

    def _widths(self) -> list[int]:
        """Of each column its widest cell, or the longest word of its heading: headings may be wrapped."""
        cells = [
            max((each.cell_len for each in column), default=0) for column in zip(*self._rows, strict=True)
        ]
        words = [max(map(len, column.split())) for column in self._columns]
        return [max(each) for each in zip(cells or words, words, strict=True)]

    def _drawn(self, widths: Sequence[int]) -> Table:
        made = Table(box=SIMPLE_HEAD, pad_edge=False)
        for position, (column, width) in enumerate(zip(self._columns, widths, strict=True)):
            made.add_column(column, justify="left" if position < self._texts else "right", min_width=width)
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


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, texts: int = 1) -> Rows:
    """A table of markup; the first `texts` columns are words, the others numbers."""
    return Rows(columns, rows, texts)
