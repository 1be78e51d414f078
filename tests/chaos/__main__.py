"""Plays rounds of chaos and judges them: `python -m tests.chaos --rounds 5`."""

import argparse
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from tests.servers import Kind

from .checker import Verdict
from .recovery import judge
from .report import as_json, say, tell_round, tell_total
from .rounds import Plan, Played, play

WINDOW_SECONDS = 30.0
"""How long dramatiq is waited for after the load: many times what Callboard needs."""


def main() -> int:
    """0 when every promise was kept; with `--against`, 0 when the checker found that some were not."""
    options = _options()
    rounds: list[tuple[Played, Verdict]] = []
    began = time.monotonic()
    first: int = options.seed
    for number in range(options.rounds):
        played = play(_plan(first + number, options))
        verdict = judge(played)
        rounds.append((played, verdict))
        tell_round(number + 1, played, verdict)
        if options.against or not verdict.violations:
            shutil.rmtree(played.directory)
    seconds = time.monotonic() - began
    verdicts = [verdict for _, verdict in rounds]
    tell_total(verdicts, Counter(fault for played, _ in rounds for fault in played.faults), seconds)
    if options.json:
        options.json.write_bytes(as_json(rounds, seconds))
    return _exit_code(verdicts, options.against)


def _exit_code(verdicts: list[Verdict], against: str | None) -> int:
    if against is None:
        return int(any(verdict.violations for verdict in verdicts))
    found = any(verdict.lost or verdict.stuck for verdict in verdicts)
    say(
        "as expected, the checker found what was lost or stuck"
        if found
        else "the checker found nothing: mend it"
    )
    return int(not found)


def _plan(seed: int, options: argparse.Namespace) -> Plan:
    server: Kind = options.server or ("redis" if seed % 3 == 0 and shutil.which("redis-server") else "valkey")
    if options.against is None:
        return Plan(seed, server=server, away=options.away, stopped=options.stopped, kills=options.kills)
    return Plan(
        seed,
        side=options.against,
        server=server,
        away=options.away,
        stopped=options.stopped,
        patience=WINDOW_SECONDS,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how many; each takes about 8 s")
    parser.add_argument(
        "--seed",
        type=int,
        default=int(time.time()) % 1_000_000,
        help="of the first round; each further one has the next",
    )
    parser.add_argument(
        "--server", choices=("valkey", "redis"), help="the kind; two of three are Valkey if not given"
    )
    parser.add_argument(
        "--against", choices=("dramatiq",), help="play on this instead, to see the checker find losses"
    )
    parser.add_argument(
        "--away", type=float, default=0.0, help="seconds for which each round's server is away once"
    )
    parser.add_argument(
        "--stopped", type=float, default=0.0, help="seconds for which it stands still once, such as 70"
    )
    parser.add_argument(
        "--kills", type=int, default=0, help="workers killed in turn in each round, and no other fault"
    )
    parser.add_argument("--json", type=Path, help="a file for everything that was counted")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
