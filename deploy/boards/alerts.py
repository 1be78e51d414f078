"""When somebody should look: each alert says what is so, and the runbook what to do."""

from enum import StrEnum

import msgspec

RUNBOOK = "docs/runbook.md"


class Severity(StrEnum):
    """How soon somebody should look: now, or today."""

    CRITICAL = "critical"
    WARNING = "warning"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that must not go unseen."""

    name: str
    expr: str
    severity: Severity
    lasting: str = "0s"
    """How long it must be so before anybody is called."""
    summary: str
    description: str

    @property
    def runbook(self) -> str:
        """Where the runbook tells of it."""
        return f"{RUNBOOK}#{self.name.lower()}"


def _budget_burns(factor: float, long: str, short: str) -> str:
    """Whether the budget is burnt `factor` times too fast, over a long time and still now."""
    bound = f"on () ({factor:g} * (1 - callboard:slo_objective))"
    return (
        f"callboard:deliveries_dead:ratio_rate{long} > {bound}\n"
        f"  and callboard:deliveries_dead:ratio_rate{short} > {bound}"
    )


_NOT_PAUSED = "unless on (queue) callboard:queue_paused:max > 0"

PROMISE = (
    Alert(
        name="ErrorBudgetBurnFast",
        expr=_budget_burns(14.4, "1h", "5m"),
        severity=Severity.CRITICAL,
        lasting="2m",
        summary="Deliveries die so fast that 30 days' error budget lasts 2 days",
        description="{{ $value | humanizePercentage }} of the deliveries of the last hour are dead.",
    ),
    Alert(
        name="ErrorBudgetBurnSlow",
        expr=_budget_burns(6, "6h", "30m"),
        severity=Severity.WARNING,
        lasting="15m",
        summary="Deliveries die so fast that 30 days' error budget lasts 5 days",
        description="{{ $value | humanizePercentage }} of the deliveries of the last 6 hours are dead.",
    ),
    Alert(
        name="DeadLetters",
        # The first of its kind is no increase of a counter, and a replay beside it no increase of the gauge.
        expr=(
            'sum by (queue) (increase(callboard_deliveries_ended_total{result="dead"}[15m])) > 0\n'
            '  or max by (queue) (delta(callboard_queue_deliveries{state="dead"}[15m])) > 0'
        ),
        severity=Severity.WARNING,
        summary="Deliveries of queue {{ $labels.queue }} were given up",
        description='About {{ $value | printf "%.0f" }} became dead in the last 15 minutes.',
    ),
)

WAITING = (
    Alert(
        name="QueueLatencyHigh",
        expr=(
            "histogram_quantile(\n"
            "  0.99, sum by (queue, le) (rate(callboard_delivery_wait_seconds_bucket[5m]))\n"
            ") > 60"
        ),
        severity=Severity.WARNING,
        lasting="10m",
        summary="Deliveries of queue {{ $labels.queue }} wait long before they are started",
        description="One of a hundred waits {{ $value | humanizeDuration }} or more.",
    ),
    Alert(
        name="QueueStalled",
        expr=(
            "callboard:queue_oldest_ready_age_seconds:max > 300\n"
            "  and on (queue) callboard:queue_workers:max > 0\n"
            "  unless on (queue) sum by (queue) (rate(callboard_deliveries_settled_total[5m])) > 0\n"
            f"  {_NOT_PAUSED}"
        ),
        severity=Severity.CRITICAL,
        lasting="5m",
        summary="Queue {{ $labels.queue }} stands still though it has workers",
        description="Its oldest delivery has waited {{ $value | humanizeDuration }}, and nothing is settled.",
    ),
    Alert(
        name="NoWorkers",
        expr=(
            'max by (queue) (callboard:queue_deliveries:max{state="ready"}) > 0\n'
            "  and on (queue) callboard:queue_workers:max == 0\n"
            f"  {_NOT_PAUSED}"
        ),
        severity=Severity.CRITICAL,
        lasting="5m",
        summary="No worker takes from queue {{ $labels.queue }}",
        description="{{ $value }} deliveries are ready and nobody takes them.",
    ),
    Alert(
        name="BacklogWontDrain",
        expr=(
            "callboard:queue_drain_seconds > 3600\n"
            "  and on (queue) callboard:queue_oldest_ready_age_seconds:max > 300\n"
            f"  {_NOT_PAUSED}"
        ),
        severity=Severity.WARNING,
        lasting="15m",
        summary="The backlog of queue {{ $labels.queue }} will not be gone within an hour",
        description="At this pace it takes {{ $value | humanizeDuration }}.",
    ),
)

WORK = (
    Alert(
        name="WorkersSaturated",
        expr=(
            "sum by (job) (avg_over_time(callboard_worker_threads_busy[5m]))\n"
            "  / sum by (job) (avg_over_time(callboard_worker_threads[5m])) > 0.9"
        ),
        severity=Severity.WARNING,
        lasting="15m",
        summary="Nearly all worker threads of {{ $labels.job }} are busy all the time",
        description="{{ $value | humanizePercentage }} of the threads are in a handler.",
    ),
    Alert(
        name="RetryStorm",
        expr=(
            'sum by (actor) (rate(callboard_deliveries_settled_total{outcome="retried"}[10m]))\n'
            "  / sum by (actor) (rate(callboard_deliveries_settled_total[10m])) > 0.5\n"
            '  and sum by (actor) (rate(callboard_deliveries_settled_total{outcome="retried"}[10m])) > 0.1'
        ),
        severity=Severity.WARNING,
        lasting="10m",
        summary="Actor {{ $labels.actor }} retries more than it ends",
        description="{{ $value | humanizePercentage }} of its attempts are to be tried again.",
    ),
    Alert(
        name="PartialFailures",
        expr="sum by (actor) (rate(callboard_partial_failures_total[15m])) > 0",
        severity=Severity.WARNING,
        lasting="30m",
        summary="Items of actor {{ $labels.actor }} go on failing beside others that succeed",
        description='{{ $value | printf "%.3f" }} attempts a second end with some items failed.',
    ),
    Alert(
        name="StuckThreads",
        expr="sum by (instance) (callboard_worker_threads_stuck) > 0",
        severity=Severity.CRITICAL,
        lasting="1m",
        summary="Handlers or parts of workers on {{ $labels.instance }} hang",
        description="{{ $value }} will not be interrupted, do not move, or have ended: /livez says which.",
    ),
    Alert(
        name="Takeovers",
        expr="sum by (queue) (increase(callboard_delivery_takeovers_total[10m])) > 0",
        severity=Severity.WARNING,
        lasting="15m",
        summary="Workers of queue {{ $labels.queue }} keep losing their deliveries",
        description='About {{ $value | printf "%.0f" }} were taken over in the last 10 minutes.',
    ),
)

SIGHT = (
    Alert(
        name="StoreFailing",
        expr="sum by (store) (rate(callboard_store_errors_total[2m])) > 0",
        severity=Severity.CRITICAL,
        lasting="5m",
        summary="Calls of {{ $labels.store }} fail",
        description='{{ $value | printf "%.2f" }} calls a second fail; no handler runs without its store.',
    ),
    Alert(
        name="CollectorDown",
        expr=(
            "time() - max(callboard_collector_last_success_timestamp_seconds) > 120\n"
            "  or absent(callboard_collector_last_success_timestamp_seconds)"
        ),
        severity=Severity.CRITICAL,
        lasting="2m",
        summary="Nobody tells how the queues stand",
        description="No pool that is scraped has read the mailbox in 2 minutes; alerts on queues are blind.",
    ),
    Alert(
        name="LabelOverflow",
        # The first of its kind is no increase of a counter.
        expr=(
            "sum by (label) (increase(callboard_label_overflow_total[1h])) > 0\n"
            "  or sum by (label) (\n"
            "    callboard_label_overflow_total unless callboard_label_overflow_total offset 1h\n"
            "  ) > 0"
        ),
        severity=Severity.WARNING,
        summary="Values of the label {{ $labels.label }} were not declared",
        description="They are counted as `other`, so figures by {{ $labels.label }} are not whole.",
    ),
)

ALERTS = (*WAITING, *PROMISE, *WORK, *SIGHT)
"""All of them, in the order of the rules file and of the runbook."""
