"""Prints rounds and their sum, and writes them as JSON."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from .checker import Verdict, summary_of
from .faults import is_gentle
from .rounds import Played

COUNTS = ("published", "accepted", "completed", "dead", "discarded", "lost", "stuck", "takeovers", "fenced")


def say(line: str = "") -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def percentile(values: Sequence[float], part: float) -> float:
    """The value that a part of all sorted values do not exceed; 0 if there are none."""
    return values[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def in_short(values: Sequence[float]) -> str:
    """Three figures of a distribution, in seconds."""
    if not values:
        return "none"
    p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
    return f"p50 {p50:.2f} p99 {p99:.2f} max {values[-1]:.2f} s (of {len(values)})"


def tell_round(number: int, played: Played, verdict: Verdict) -> None:
    """One line for a round, and more if it broke a promise."""
    repeats = verdict.repeats
    faults = Counter(played.faults)
    made = ", ".join(name if times == 1 else f"{name} x{times}" for name, times in sorted(faults.items()))
    say(
        f"{number:3} seed {played.plan.seed} {played.plan.server:6} | accepted {verdict.accepted:5} "
        f"completed {verdict.completed:5} dead {verdict.dead:3} discarded {verdict.discarded:3} "
        f"lost {verdict.lost} stuck {verdict.stuck} | again: explained {repeats.explained} "
        f"unexplained {repeats.unexplained} interrupted {repeats.interrupted} "
        f"| takeovers {verdict.takeovers} "
        f"fenced {verdict.fenced} | rest {played.rest_seconds:.1f} s | {made or 'no faults'}"
        f"{' (gentle)' if is_gentle(played.plan.seed) else ''}"
    )
    if verdict.violations:
        for line in summary_of(verdict.violations):
            say(f"      {line}")
        say(f"      again: {again(played)}")
        if played.plan.side == "callboard":
            say(f"      kept: {played.directory}")


def again(played: Played) -> str:
    """How to run the same schedule again."""
    plan = played.plan
    told = {
        "--against": "" if plan.side == "callboard" else plan.side,
        "--away": plan.away,
        "--stopped": plan.stopped,
        "--kills": plan.kills,
    }
    options = "".join(f" {option} {value}" for option, value in told.items() if value)
    return f"python -m tests.chaos --rounds 1 --seed {plan.seed} --server {plan.server}{options}"


def total(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The sum of all rounds."""
    sums: dict[str, Any] = {name: sum(getattr(verdict, name) for verdict in verdicts) for name in COUNTS}
    for name in ("explained", "unexplained", "interrupted"):
        sums[name] = sum(getattr(verdict.repeats, name) for verdict in verdicts)
    for name in ("recoveries", "disturbed", "in_turn"):
        sums[name] = sorted(seconds for verdict in verdicts for seconds in getattr(verdict.repeats, name))
    sums["violations"] = sum(len(verdict.violations) for verdict in verdicts)
    return sums


def tell_total(verdicts: Sequence[Verdict], faults: Counter[str], seconds: float) -> None:
    """The table at the end."""
    sums = total(verdicts)
    say()
    say(f"{len(verdicts)} rounds in {seconds:.0f} s")
    for name in (*COUNTS, "explained", "unexplained", "interrupted", "violations"):
        say(f"  {name:12} {sums[name]:8}")
    say(f"  recovery after a kill: {in_short(sums['recoveries'])}")
    say(f"  the same while the server was away too: {in_short(sums['disturbed'])}")
    say(f"  the same of what had to run alone, in turn: {in_short(sums['in_turn'])}")
    say(f"  faults: {', '.join(f'{name} {times}' for name, times in sorted(faults.items()))}")


def as_json(rounds: Sequence[tuple[Played, Verdict]], seconds: float) -> bytes:
    """All of it, for a machine."""
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "seconds": seconds,
                "total": total([verdict for _, verdict in rounds]),
                "rounds": [
                    {
                        "plan": played.plan,
                        "faults": played.faults,
                        "rest_seconds": played.rest_seconds,
                        "verdict": verdict,
                    }
                    for played, verdict in rounds
                ],
            }
        )
    )
