"""Measures Callboard and dramatiq side by side: `python -m tests.benchmarks`.

Exit codes: 0, 1 when a case failed, 3 when a full run does not meet a goal. A short run is for
machines that others use too, so what it does not meet is only told.
"""

import argparse
import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from .cases import (
    backlog,
    batch,
    fsync,
    idle,
    items,
    letters,
    micro,
    mix,
    policies,
    process,
    publish,
    schedule,
    scrape,
    waiting,
)
from .figures import Row
from .ground import open_ground
from .machine import look
from .plan import Plan, progress
from .report import Results

CASES: Mapping[str, Callable[[Plan], list[Row]]] = {
    "process": process.run,
    "mix": mix.run,
    "policies": policies.run,
    "batch": batch.run,
    "publish": publish.run,
    "fsync": fsync.run,
    "idle": idle.run,
    "backlog": backlog.run,
    "schedule": schedule.run,
    "async": waiting.run,
    "items": items.run,
    "letters": letters.run,
    "scrape": scrape.run,
    "micro": micro.run,
}

JSON_FILE = Path(__file__).parents[2] / "build" / "bench.json"
"""In a directory that is not checked in."""

FAILED = 1
UNMET = 3


def main() -> int:
    """Run what is asked for; the exit code."""
    wanted = _arguments()
    # What parts of Callboard have to say in this process would stand among the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    plan = Plan(wanted.server, wanted.short, wanted.rounds)
    with open_ground(plan.server) as ground:
        server = ground.version()
    machine = look(server)
    if machine.is_busy:
        progress(f"the machine is busy (load {machine.load:.2f}): what comes out is worth little")
    rows, failed, seconds = _measure(plan, wanted.only or list(CASES))
    results = Results(machine, plan.is_short, seconds, rows, failed)
    results.write(wanted.json)
    sys.stdout.write(results.markdown() if wanted.markdown else results.table())
    progress(f"every round is in {wanted.json}")
    if failed:
        return FAILED
    return UNMET if results.unmet and not plan.is_short else 0


def _measure(plan: Plan, names: list[str]) -> tuple[list[Row], list[str], float]:
    rows: list[Row] = []
    failed: list[str] = []
    began = time.monotonic()
    for name in names:
        try:
            rows += CASES[name](plan)
        except Exception:  # noqa: BLE001 - the other cases are still worth their time; the exit code tells
            traceback.print_exc()
            failed.append(name)
    return rows, failed, time.monotonic() - began


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="less than 3 minutes; unmet goals are no error")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=_at_least_one, help="rounds of every case")
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    parser.add_argument("--json", type=Path, default=JSON_FILE, metavar="FILE", help=f"default {JSON_FILE}")
    parser.add_argument("--markdown", action="store_true", help="print Markdown instead of columns")
    return parser.parse_args()


def _at_least_one(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise argparse.ArgumentTypeError("at least one round")
    return rounds


if __name__ == "__main__":
    sys.exit(main())
