"""What a worker process tells its pool's exporter once a second, as datagrams of msgpack."""

from collections.abc import Iterator

import msgspec

from .cells import Book, Exemplar, LabelValues, Tally
from .metrics import BY_NAME

MOST_BYTES = 32_768
"""Bytes of a datagram, about: small enough for the buffers of any system."""

_SERIES_BYTES = 40
"""What a series takes beside its labels, and a histogram for each bucket a part of it."""

_EXEMPLAR_BYTES = 56


class Vitals(msgspec.Struct, frozen=True, array_like=True):
    """How a worker process is."""

    threads: int = 0
    """Worker threads it should have."""
    busy: int = 0
    """Worker threads that are in a handler."""
    stuck: int = 0
    """Handlers that go on after they were interrupted."""
    ended: tuple[str, ...] = ()
    """Threads that should be there and have ended."""
    hanging: dict[str, float] = {}
    """Parts that should move and do not, and for how many seconds they have not."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a pool's metrics are served, and where its mailbox is. Its repr shows no password."""

    address: str
    """`host:port`."""
    is_default: bool
    """Nobody asked for just this address."""
    workspace: str
    url: str | None = None
    """The server's; None for the embedded one."""
    home: str = ""
    """The directory of the embedded server."""
    version: str = ""
    """Callboard's."""

    def __repr__(self) -> str:
        return f"<Place {self.address} workspace={self.workspace}>"


class Report(msgspec.Struct, frozen=True, array_like=True):
    """One datagram."""

    worker: str
    """A name that no other process ever has."""
    pid: int
    place: Place
    vitals: Vitals
    leaving: bool = False
    counters: dict[str, list[tuple[LabelValues, float]]] = {}
    """What was added to each counter since the last report, by instrument."""
    histograms: dict[str, list[tuple[LabelValues, list[int], float]]] = {}
    """What was added to each histogram: its buckets and its sum."""
    exemplars: dict[str, list[tuple[LabelValues, dict[int, Exemplar]]]] = {}
    """Of histograms with traced values: the latest of each bucket, by its position."""

    def book(self) -> Book:
        """What it adds, but for what is no instrument here."""
        book = Book()
        for name, counters in self.counters.items():
            for labels, value in counters:
                if _fits(name, labels):
                    book.counters.setdefault(name, {})[labels] = value
        for name, tallies in self.histograms.items():
            for labels, counts, total in tallies:
                if _fits(name, labels):
                    book.histograms.setdefault(name, {})[labels] = Tally(counts, total)
        for name, shown in self.exemplars.items():
            for labels, exemplars in shown:
                tally = book.histograms.get(name, {}).get(labels)
                if tally is not None:
                    tally.exemplars = {at: each for at, each in exemplars.items() if at < len(tally.counts)}
        return book


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Report)


def encode_report(report: Report) -> bytes:
    """The datagram of a report."""
    return _encoder.encode(report)


def decode_report(datagram: bytes) -> Report:
    """The report in a datagram; raises `msgspec.MsgspecError` for anything else."""
    return _decoder.decode(datagram)


def parts_of(book: Book, most_bytes: int = MOST_BYTES) -> Iterator[Book]:
    """The same numbers in books of about so many bytes; one at least, for vitals go out with it."""
    part, size = Book(), 0
    for name, counters in book.counters.items():
        for labels, value in counters.items():
            part.counters.setdefault(name, {})[labels] = value
            size += _size_of(labels)
            if size > most_bytes:
                yield part
                part, size = Book(), 0
    for name, labels, tally in book.tallies():
        part.histograms.setdefault(name, {})[labels] = tally
        size += _size_of(labels) + 9 * len(tally.counts) + _EXEMPLAR_BYTES * len(tally.exemplars)
        if size > most_bytes:
            yield part
            part, size = Book(), 0
    yield part


def counters_of(book: Book) -> dict[str, list[tuple[LabelValues, float]]]:
    """A book's counters as a report has them."""
    return {name: list(known.items()) for name, known in book.counters.items()}


def histograms_of(book: Book) -> dict[str, list[tuple[LabelValues, list[int], float]]]:
    """A book's histograms as a report has them."""
    return {
        name: [(labels, tally.counts, tally.total) for labels, tally in known.items()]
        for name, known in book.histograms.items()
    }


def exemplars_of(book: Book) -> dict[str, list[tuple[LabelValues, dict[int, Exemplar]]]]:
    """A book's exemplars as a report has them."""
    shown: dict[str, list[tuple[LabelValues, dict[int, Exemplar]]]] = {}
    for name, labels, tally in book.tallies():
        if tally.exemplars:
            shown.setdefault(name, []).append((labels, tally.exemplars))
    return shown


def _size_of(labels: LabelValues) -> int:
    return _SERIES_BYTES + sum(4 * len(value) for value in labels)


def _fits(name: str, labels: LabelValues) -> bool:
    instrument = BY_NAME.get(name)
    return instrument is not None and len(labels) == len(instrument.labels)
