"""The table of the document is the table of the code."""

from callboard.observability.metrics import INSTRUMENTS, Instrument
from tests.documents import read


def row_of(instrument: Instrument) -> str:
    """An instrument's row as it must stand in the document."""
    labels = ", ".join(f"`{label}`" for label in instrument.labels)
    cells = (f"`callboard_{instrument.name}`", instrument.kind, labels, instrument.seer, instrument.help)
    return " ".join(("|", *(f"{cell} |" if cell else "|" for cell in cells)))


def test_every_metric_has_its_row_and_there_are_no_others() -> None:
    table = (
        read("docs/observability.md")
        .partition("<!-- metrics:begin -->")[2]
        .partition("<!-- metrics:end -->")[0]
    )
    rows = table.strip().splitlines()[2:]
    assert rows == [row_of(instrument) for instrument in INSTRUMENTS]
