"""What Prometheus computes ahead: shares of the error budget, and the state of queues told once."""

import msgspec

WINDOWS = ("5m", "30m", "1h", "6h")
"""Over which the share of dead deliveries is told for the alerts."""

OBJECTIVE = 0.999
"""Of the deliveries that should succeed, how many must. The one place to change it is its recording rule."""


class Rule(msgspec.Struct, frozen=True):
    """An expression under a name of its own."""

    record: str
    expr: str


def dead_ratio(window: str) -> Rule:
    """The share of dead deliveries among those that succeeded or are dead; nothing where none ended."""
    return Rule(
        f"callboard:deliveries_dead:ratio_rate{window}",
        f'(sum(rate(callboard_deliveries_ended_total{{result="dead"}}[{window}])) or vector(0))\n'
        f'  / (sum(rate(callboard_deliveries_ended_total{{result=~"succeeded|dead"}}[{window}])) > 0)',
    )


BUDGET = (Rule("callboard:slo_objective", f"vector({OBJECTIVE})"), *map(dead_ratio, WINDOWS))

LONG_BUDGET = (dead_ratio("30d"),)
"""Costs more and changes slowly, so it is told less often."""

QUEUES = (
    # Every pool that is scraped tells the same of the mailbox: the largest is the one answer.
    Rule("callboard:queue_deliveries:max", "max by (queue, state) (callboard_queue_deliveries)"),
    Rule(
        "callboard:queue_oldest_ready_age_seconds:max",
        "max by (queue) (callboard_queue_oldest_ready_age_seconds)",
    ),
    Rule("callboard:queue_workers:max", "max by (queue) (callboard_queue_workers)"),
    Rule("callboard:queue_paused:max", "max by (queue) (callboard_queue_paused)"),
    Rule(
        "callboard:queue_ended:rate5m",
        "sum by (queue) (rate(callboard_deliveries_ended_total[5m]))\n"
        "  or 0 * max by (queue) (callboard:queue_deliveries:max)",
    ),
    # What comes in is what ended and what the queue grew by: that counts fan-out and unseen publishers.
    Rule(
        "callboard:queue_arrivals:rate5m",
        "clamp_min(\n"
        "  callboard:queue_ended:rate5m\n"
        '    + sum by (queue) (deriv(callboard:queue_deliveries:max{state!="dead"}[5m])),\n'
        "  0\n"
        ")",
    ),
    Rule(
        "callboard:queue_drain_seconds",
        'max by (queue) (callboard:queue_deliveries:max{state="ready"} == 0)\n'
        "  or max by (queue) (\n"
        '    callboard:queue_deliveries:max{state="ready"}\n'
        '      / clamp_min(-deriv(callboard:queue_deliveries:max{state="ready"}[15m]), 0)\n'
        "  )",
    ),
)
