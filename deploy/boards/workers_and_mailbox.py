"""The dashboard of what does the work: threads, leases, and the server behind the mailbox."""

from .panels import Board, Kind, Panel, Query, Row, Unit, quantiles, rates

_WORKERS = Row(
    "Workers",
    (
        Panel(
            title="Utilisation",
            says="Of the worker threads of each pool, those that are in a handler.",
            queries=(
                Query(
                    "sum by (instance) (callboard_worker_threads_busy)"
                    " / sum by (instance) (callboard_worker_threads)",
                    "{{instance}}",
                ),
            ),
            unit=Unit.SHARE,
        ),
        Panel(
            title="Saturation",
            says="Deliveries that are ready, for each worker thread there is.",
            queries=(
                Query(
                    'sum(callboard:queue_deliveries:max{state="ready"}) / sum(callboard_worker_threads)',
                    "ready for a thread",
                ),
            ),
            unit=Unit.COUNT,
        ),
        Panel(
            title="Wait in the queue",
            says="From when a delivery was due to the start of its first attempt.",
            queries=quantiles("callboard_delivery_wait_seconds", "queue"),
            unit=Unit.SECONDS,
        ),
        Panel(
            title="Stuck threads",
            says="Handlers that will not be interrupted, and parts that hang. Their pool wants a restart.",
            queries=(Query("sum by (instance) (callboard_worker_threads_stuck)", "{{instance}}"),),
            unit=Unit.COUNT,
        ),
        Panel(
            title="Taken over",
            says="Deliveries taken over from a worker that died, stood still or was cut off.",
            queries=(rates("callboard_delivery_takeovers_total", "queue"),),
            unit=Unit.PER_SECOND,
        ),
        Panel(
            title="Fenced off",
            says="Settlements that were refused because another worker holds the delivery.",
            queries=(rates("callboard_settlements_fenced_total", "queue"),),
            unit=Unit.PER_SECOND,
        ),
    ),
)

_MAILBOX = Row(
    "Mailbox",
    (
        Panel(
            title="Latency of stores",
            says="How long a mailbox or a dedup store took for one call, which may be for many deliveries.",
            queries=quantiles("callboard_store_operation_seconds", "store, operation"),
            unit=Unit.SECONDS,
            width=12,
        ),
        Panel(
            title="Errors of stores",
            says="Calls of a mailbox or a dedup store that failed. No handler runs without its store.",
            queries=(rates("callboard_store_errors_total", "store, operation, error"),),
            unit=Unit.PER_SECOND,
            width=12,
        ),
        Panel(
            title="Memory of the server",
            says="What it takes with all that others keep there, and from where on it refuses to publish.",
            queries=(
                Query("max(callboard_server_memory_used_bytes)", "used"),
                Query("max(callboard_server_memory_limit_bytes)", "limit"),
            ),
            unit=Unit.BYTES,
            width=6,
        ),
        Panel(
            title="Paused queues",
            says="1 while a queue is paused: callboard info tells by whom and why.",
            queries=(Query("callboard:queue_paused:max", "{{queue}}"),),
            unit=Unit.COUNT,
            width=6,
        ),
        Panel(
            title="Oldest dead letter",
            says="How long ago the oldest dead delivery that is kept ended.",
            queries=(Query("max by (queue) (callboard_dead_oldest_age_seconds)", "{{queue}}"),),
            unit=Unit.SECONDS,
            width=6,
        ),
        Panel(
            title="Last look at the mailbox",
            says="How long ago its state was last read. What is drawn of queues is as old as this.",
            queries=(Query("time() - max(callboard_collector_last_success_timestamp_seconds)", "age"),),
            unit=Unit.SECONDS,
            width=6,
        ),
        Panel(
            title="Discarded and replayed",
            says="As the mailbox counts: what a cancel, a purge or an operator discards as well.",
            queries=(
                Query(
                    "sum by (queue) (rate(callboard_queue_discarded_total[$__rate_interval]))",
                    "{{queue}} discarded",
                ),
                Query(
                    "sum by (queue) (rate(callboard_queue_replayed_total[$__rate_interval]))",
                    "{{queue}} replayed",
                ),
            ),
            unit=Unit.PER_SECOND,
            width=8,
        ),
        Panel(
            title="Labels that were not declared",
            says="Values counted as `other` so that the number of series stays what code declares.",
            queries=(rates("callboard_label_overflow_total", "label"),),
            unit=Unit.PER_SECOND,
            width=8,
        ),
        Panel(
            title="Versions",
            says="Pools by what they run.",
            queries=(
                Query(
                    "count by (version, dramatiq, server) (callboard_build_info)",
                    "callboard {{version}}, dramatiq {{dramatiq}}, server {{server}}",
                ),
            ),
            unit=Unit.COUNT,
            kind=Kind.BARS,
            width=8,
        ),
    ),
)

WORKERS_AND_MAILBOX = Board(
    file="workers-and-mailbox",
    title="Callboard: workers and mailbox",
    says="What does the work: threads, leases, and the server behind the mailbox.",
    rows=(_WORKERS, _MAILBOX),
)
