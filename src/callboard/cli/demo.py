"""`callboard demo`: the newcomer's first command."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter, validators
from msgspec import structs
from rich.console import Console
from rich.live import Live

from ..demo.board import Scene, drawn, in_a_line, verdict_parts
from ..demo.plan import make_plan
from ..demo.play import play
from ..demo.verdict import Verdict
from .exits import ExitCode
from .terminal import AsJson, console, ending_as_with_ctrl_c, examples, keep_logs_off_stdout, write_json

_at_least_one = validators.Number(gte=1)

command = App(
    name="demo",
    help_epilogue=examples(
        "callboard demo", "callboard demo --kill", "callboard demo --events 5000 -p 3 --json"
    ),
)


Shown = msgspec.defstruct(
    "Shown", [("ok", bool), *((each.name, each.type) for each in structs.fields(Verdict))], frozen=True
)
"""What `--json` prints: the verdict, and whether it is good."""


@command.default
def demo(
    *,
    events: Annotated[int, Parameter(validator=_at_least_one, help="Orders to place.")] = 1000,
    home: Annotated[
        Path | None,
        Parameter(help="Keep its data and logs here [default: nowhere]."),
    ] = None,
    seed: Annotated[int, Parameter(help="The same seed makes the same orders.")] = 1,
    processes: Annotated[int, Parameter(alias="-p", validator=_at_least_one, help="Worker processes.")] = 2,
    kill: Annotated[
        bool, Parameter(negative="", show_default=False, help="Kill a worker in the middle, with kill -9.")
    ] = False,
    json: AsJson = False,
) -> ExitCode:
    """Run a small shop for a quarter of a minute, and check what became of every event.

    Orders are placed, paid and shipped: with commands, schedules, two subscribers to one event, a bank
    that fails at first (retried) or says no (dead), and orders that are published twice. Workers are
    processes of their own on an embedded server; kill one of them meanwhile, and see. At the end the
    effects of the handlers and the records of the mailbox are compared with what had to come of it;
    exit code 1 if anything is missing, or was done twice without a reason.

    `--json` is an object: `ok`, `checks` (a list of `what`, `expected`, `found`), `killed` (process ids),
    `repeated_after_kill`, `repeated_after_stall`, `published`, `retried`, `takeovers`, `p50_ms`, `p99_ms`,
    `seconds`.
    """
    keep_logs_off_stdout()
    out = console(stderr=json)
    with ending_as_with_ctrl_c(), _screen(out) as (show, tell):
        verdict = play(home, make_plan(events, seed), workers=processes, kill=kill, show=show, tell=tell)
    if json:
        write_json(Shown(ok=verdict.ok, **structs.asdict(verdict)))
    else:
        for part in verdict_parts(verdict):
            out.print(part, highlight=False)
    return ExitCode.OK if verdict.ok else ExitCode.FAILED


@contextmanager
def _screen(out: Console) -> Iterator[tuple[Callable[[Scene], None], Callable[[str], None]]]:
    """How to show a moment, and how to tell a line: a live table on a terminal, else a line a second."""

    def tell(line: str) -> None:
        out.print(line, highlight=False, soft_wrap=True)

    if out.is_terminal:
        with Live(console=out, auto_refresh=False) as live:
            yield lambda scene: live.update(drawn(scene), refresh=True), tell
        return
    told_at = 0.0

    def show(scene: Scene) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= 1:
            told_at = time.monotonic()
            tell(in_a_line(scene))

    yield show, tell
