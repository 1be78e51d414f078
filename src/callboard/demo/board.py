"""Draws the demo: a table while it runs, a line where there is no terminal, and the verdict."""

from collections.abc import Iterator

import msgspec
from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from .verdict import Verdict


class Scene(msgspec.Struct, frozen=True):
    """The figures of one moment."""

    planned: int
    published: int
    workers: int
    ready: int
    leased: int
    scheduled: int
    succeeded: int
    retried: int
    dead: int
    duplicates: int
    takeovers: int
    rate: int
    """Deliveries that succeeded in the last second."""
    p50_ms: int
    p99_ms: int


def drawn(scene: Scene) -> Table:
    """The live table."""
    table = Table(box=ROUNDED, show_header=False, title="Callboard: a small shop")
    for _ in range(2):
        table.add_column(justify="left", min_width=12)
        table.add_column(justify="right", min_width=12)
    for left, right in (
        (("published", f"{scene.published:,} of {scene.planned:,}"), ("workers", scene.workers)),
        (("succeeded", scene.succeeded), ("a second", scene.rate)),
        (("duplicates", scene.duplicates), ("ready", scene.ready)),
        (("retried", scene.retried), ("running", scene.leased)),
        (("dead", scene.dead), ("scheduled", scene.scheduled)),
        (("taken over", scene.takeovers), ("latency p50, p99", f"{scene.p50_ms} ms, {scene.p99_ms} ms")),
    ):
        table.add_row(*[f"{cell:,}" if isinstance(cell, int) else cell for cell in (*left, *right)])
    return table


def in_a_line(scene: Scene) -> str:
    """The same where there is no terminal."""
    return (
        f"published {scene.published}/{scene.planned}  succeeded {scene.succeeded}  "
        f"duplicates {scene.duplicates}  retried {scene.retried}  scheduled {scene.scheduled}  "
        f"dead {scene.dead}  {scene.rate}/s  p50 {scene.p50_ms} ms  p99 {scene.p99_ms} ms"
    )


def verdict_parts(verdict: Verdict) -> Iterator[RenderableType]:
    """The end, from top to bottom."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("what had to be so")
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    table.add_column("")
    for check in verdict.checks:
        mark = "[green]yes[/green]" if check.holds else "[bold red]NO[/bold red]"
        table.add_row(check.what, f"{check.expected:,}", f"{check.found:,}", mark)
    yield table
    yield (
        f"{verdict.retried:,} retries, {verdict.takeovers:,} deliveries taken over, "
        f"handled within {verdict.p50_ms} ms (p50) and {verdict.p99_ms} ms (p99), {verdict.seconds} s in all"
    )
    if verdict.killed:
        yield (
            f"{len(verdict.killed)} worker(s) killed; {verdict.repeated_after_kill} effect(s) done again, "
            "because their worker died before it could say that they were done"
        )
    if verdict.repeated_after_stall:
        yield f"{verdict.repeated_after_stall} effect(s) were done again: a worker stood still past its lease"
    yield "[green]Nothing was lost.[/green]" if verdict.ok else "[bold red]Something is wrong.[/bold red]"
