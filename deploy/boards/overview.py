"""The dashboard to look at first: is the promise kept, does anything wait, and does it become less."""

from .panels import Board, Kind, Panel, Query, Row, Unit, rates

_FAILED = 'callboard_deliveries_settled_total{outcome=~"retried|dead"}'

_PROMISE = Row(
    "The promise",
    (
        Panel(
            title="Succeeded, of what should",
            says="Deliveries that succeeded, of those that succeeded or are dead, over 30 days. "
            "What was discarded or a duplicate is not counted: that is as it was asked for.",
            queries=(Query("1 - callboard:deliveries_dead:ratio_rate30d"),),
            unit=Unit.SHARE,
            kind=Kind.NUMBER,
            width=4,
            warn=0.9995,
            alarm=0.999,
        ),
        Panel(
            title="Error budget left",
            says="What may still fail before the objective (callboard:slo_objective) is missed over 30 days.",
            queries=(
                Query(
                    "1 - callboard:deliveries_dead:ratio_rate30d / (1 - callboard:slo_objective)",
                ),
            ),
            unit=Unit.SHARE,
            kind=Kind.NUMBER,
            width=4,
            warn=0.5,
            alarm=0.1,
        ),
        Panel(
            title="Dead letters in 24 h",
            says="Deliveries that were given up, and are kept.",
            queries=(
                Query('sum(increase(callboard_deliveries_ended_total{result="dead"}[24h])) or vector(0)'),
            ),
            unit=Unit.COUNT,
            kind=Kind.NUMBER,
            width=4,
            warn=1,
            alarm=100,
        ),
        Panel(
            title="Ended by result",
            says="Deliveries that ended, each once.",
            queries=(rates("callboard_deliveries_ended_total", "result"),),
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            width=12,
        ),
    ),
)

_WAITING = Row(
    "What waits",
    (
        Panel(
            title="Oldest ready",
            says="How long the delivery at the head of each queue has been due.",
            queries=(Query("callboard:queue_oldest_ready_age_seconds:max", "{{queue}}"),),
            unit=Unit.SECONDS,
        ),
        Panel(
            title="Deliveries by state",
            says="Ready to be taken, leased to a worker, scheduled for later, and dead ones that are kept.",
            queries=(Query("sum by (state) (callboard:queue_deliveries:max)", "{{state}}"),),
            unit=Unit.COUNT,
        ),
        Panel(
            title="Estimated time to drain",
            says="When what is ready will be gone if its number goes on falling as it does now. "
            "Nothing is drawn for a queue that does not become shorter.",
            queries=(Query("callboard:queue_drain_seconds < Inf", "{{queue}}"),),
            unit=Unit.SECONDS,
        ),
        Panel(
            title="Arrivals against drain",
            says="Deliveries that come in, and those that end. Arrivals are told from how the queues grow, "
            "so they count what retries and fan-out really bring.",
            queries=(
                Query("sum(callboard:queue_arrivals:rate5m)", "arrivals"),
                Query("sum(callboard:queue_ended:rate5m)", "drain"),
            ),
            unit=Unit.PER_SECOND,
            width=12,
        ),
        Panel(
            title="Published",
            says="Events that the mailbox has answered for, by where they came from.",
            queries=(rates("callboard_events_published_total", "source"),),
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
            width=12,
        ),
    ),
)

_WORK = Row(
    "The work",
    (
        Panel(
            title="Busy threads",
            says="Worker threads that are in a handler, and all there are.",
            queries=(
                Query("sum(callboard_worker_threads_busy)", "busy"),
                Query("sum(callboard_worker_threads)", "threads"),
            ),
            unit=Unit.COUNT,
        ),
        Panel(
            title="Top failing actors",
            says="Attempts that failed, a second, of the ten actors that fail most.",
            queries=(Query(f"topk(10, sum by (actor) (rate({_FAILED}[$__rate_interval])))", "{{actor}}"),),
            unit=Unit.PER_SECOND,
            kind=Kind.BARS,
        ),
        Panel(
            title="Workers by queue",
            says="Worker processes that take from each queue.",
            queries=(Query("callboard:queue_workers:max", "{{queue}}"),),
            unit=Unit.COUNT,
        ),
    ),
)

OVERVIEW = Board(
    file="overview",
    title="Callboard: overview",
    says="Is the promise kept, does anything wait, and does it become less?",
    rows=(_PROMISE, _WAITING, _WORK),
)
