"""Whether a pool is well, as its processes tell: decisions without any I/O."""

from collections.abc import Iterable

import msgspec

from .report import Vitals

SILENT_AFTER = 10.0
"""Seconds after which a process that reports once a second counts as hanging."""


class Seen(msgspec.Struct):
    """A worker process as the exporter has seen it last."""

    pid: int
    vitals: Vitals
    at: float
    """By the monotonic clock, seconds."""


def ailments(workers: Iterable[Seen], now: float) -> list[str]:
    """All that is wrong with worker processes, in words; empty when they are well."""
    return [f"worker process {seen.pid}: {fault}" for seen in workers for fault in _faults(seen, now)]


def _faults(seen: Seen, now: float) -> Iterable[str]:
    silent, vitals = now - seen.at, seen.vitals
    if silent > SILENT_AFTER:
        yield f"has said nothing for {silent:.0f} s"
    for name in vitals.ended:
        yield f"its thread {name} has ended"
    if vitals.stuck:
        yield f"{vitals.stuck} of its handlers go on after they were interrupted"
    for part, seconds in vitals.hanging.items():
        yield f"its {part} has not moved for {seconds:.0f} s"
