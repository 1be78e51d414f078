"""Restarts pools under load and judges it: `python -m tests.chaos.rolling --restarts 5`."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.chaos.checker import Verdict, check, summary_of
from tests.chaos.report import in_short, say

from .judge import judge_stops
from .play import Rolled, forget, roll
from .pool import SUPERVISOR_SECONDS, Stop


def main() -> int:
    """0 when every promise was kept."""
    options = _options()
    began = time.monotonic()
    rolled = roll(options.seed, options.restarts, options.server, _tell)
    verdict = check(rolled.seen)
    violations = [*verdict.violations, *judge_stops(rolled.seen, rolled.stops)]
    _tell_total(rolled, verdict, time.monotonic() - began)
    for line in summary_of(violations):
        say(f"  {line}")
    if violations:
        say(f"  kept: {rolled.directory}; again: --seed {rolled.seed} --restarts {options.restarts}")
    else:
        forget(rolled)
    return int(bool(violations))


def _tell(stop: Stop) -> None:
    say(f"{stop.how:10} {stop.pool:8} ended in {stop.seconds:.2f} s, exit code {stop.code}")


def _tell_total(rolled: Rolled, verdict: Verdict, seconds: float) -> None:
    seen, stops = rolled.seen, rolled.stops
    cut = [run for run in seen.runs if run.result == "cut"]
    items = sum("/" in run.actor for run in cut)
    members = {run.member for run in cut}
    calm = [stop for stop in stops if members.isdisjoint(stop.members)]
    hows = Counter(stop.how for stop in stops)
    say()
    say(f"{len(stops)} stops in {seconds:.0f} s, seed {rolled.seed}")
    say(f"  {', '.join(f'{how} {times}' for how, times in sorted(hows.items()))}")
    say(f"  accepted {verdict.accepted} completed {verdict.completed}")
    say(f"  lost {verdict.lost} stuck {verdict.stuck} takeovers {verdict.takeovers} fenced {verdict.fenced}")
    say(f"  again without a reason {verdict.repeats.unexplained}, done again {verdict.repeats.explained}")
    say(f"  cut off {len(cut) - items}, in the midst of an item {items}")
    say(f"  given back {sum(queue.released for queue in seen.queues)}")
    say(f"  from the signal to the exit, of {SUPERVISOR_SECONDS:g} s: {in_short(_times(stops))}")
    say(f"  the same where nothing was cut off: {in_short(_times(calm))}")
    say(f"  at rest {rolled.rest_seconds:.1f} s after the load")


def _times(stops: Sequence[Stop]) -> list[float]:
    return sorted(stop.seconds for stop in stops)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.rolling", description=__doc__)
    parser.add_argument("--restarts", type=int, default=5, help="how many; each takes about 6 s")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
