"""The instruments: what is measured, by which labels, and who sees it. The docs' table is checked by it."""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What an instrument is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class Seer(StrEnum):
    """Who sees what an instrument measures."""

    PUBLISHER = "publisher"
    WORKER = "worker"
    COLLECTOR = "collector"
    ALL = "all"


class Instrument(msgspec.Struct, frozen=True):
    """One metric. Its labels take no values but those that are declared somewhere in code."""

    name: str
    """Without the namespace."""
    kind: Kind
    seer: Seer
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, ascending; the last, +Inf, is left out."""


OTHER = "other"
"""The value of a label in place of one that was not declared."""

PLAIN = "dramatiq.message"
"""The event of a plain dramatiq message."""

PROCESSING_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
WAIT_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 21600, 86400)
ATTEMPT_BUCKETS = (1, 2, 3, 5, 10, 20, 50)
STORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

_DELIVERY = ("queue", "actor", "event")

PUBLISHED = Instrument(
    "events_published_total",
    Kind.COUNTER,
    Seer.PUBLISHER,
    "Events that the mailbox has answered for, each once however many actors it is for.",
    ("event", "source"),
)
UNROUTED = Instrument(
    "events_unrouted_total",
    Kind.COUNTER,
    Seer.PUBLISHER,
    "Events published that nobody subscribed to.",
    ("event",),
)
DUPLICATES = Instrument(
    "publish_duplicates_total",
    Kind.COUNTER,
    Seer.PUBLISHER,
    "Deliveries that a publish did not make because their key was known.",
    ("event",),
)
SETTLED = Instrument(
    "deliveries_settled_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Settlements that the mailbox took: what attempts came to.",
    (*_DELIVERY, "outcome"),
)
ENDED = Instrument(
    "deliveries_ended_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Deliveries that have ended, each once; the reason is empty for those that succeeded.",
    (*_DELIVERY, "result", "reason"),
)
ERRORS = Instrument(
    "delivery_errors_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Attempts that failed with an exception, by its class.",
    ("actor", "error"),
)
TIMEOUTS = Instrument(
    "delivery_timeouts_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Attempts that ran into their timeout.",
    ("queue", "actor"),
)
TAKEOVERS = Instrument(
    "delivery_takeovers_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Deliveries taken over from a worker whose lease ran out.",
    ("queue",),
)
FENCED = Instrument(
    "settlements_fenced_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Settlements that were refused because another worker holds the delivery.",
    ("queue",),
)
ITEMS = Instrument(
    "items_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Items that attempts worked through, by what became of each.",
    ("actor", "status"),
)
PARTIAL = Instrument(
    "partial_failures_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Attempts in which some items failed and some did not.",
    ("actor",),
)
CLAIMS = Instrument(
    "dedup_claims_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Answers of dedup stores to claims of a key.",
    ("store", "verdict"),
)
STORE_SECONDS = Instrument(
    "store_operation_seconds",
    Kind.HISTOGRAM,
    Seer.WORKER,
    "How long a mailbox or a dedup store took for one call, which may be for many deliveries.",
    ("store", "operation"),
    STORE_BUCKETS,
)
STORE_ERRORS = Instrument(
    "store_errors_total",
    Kind.COUNTER,
    Seer.WORKER,
    "Calls of a mailbox or a dedup store that failed.",
    ("store", "operation", "error"),
)
PROCESSING = Instrument(
    "delivery_processing_seconds",
    Kind.HISTOGRAM,
    Seer.WORKER,
    "How long attempts took, with all layers of the stack.",
    ("queue", "actor"),
    PROCESSING_BUCKETS,
)
WAIT = Instrument(
    "delivery_wait_seconds",
    Kind.HISTOGRAM,
    Seer.WORKER,
    "From when a delivery was due to the start of its first attempt, by the server's clock.",
    ("queue",),
    WAIT_BUCKETS,
)
AGE = Instrument(
    "event_age_at_end_seconds",
    Kind.HISTOGRAM,
    Seer.WORKER,
    "From when an event was accepted to when its delivery had ended, by the server's clock.",
    ("event",),
    WAIT_BUCKETS,
)
ATTEMPTS = Instrument(
    "delivery_attempts",
    Kind.HISTOGRAM,
    Seer.WORKER,
    "Attempts that deliveries had taken when they ended.",
    ("actor",),
    ATTEMPT_BUCKETS,
)
THREADS = Instrument("worker_threads", Kind.GAUGE, Seer.WORKER, "Worker threads of all processes.")
BUSY = Instrument("worker_threads_busy", Kind.GAUGE, Seer.WORKER, "Worker threads that are in a handler.")
STUCK = Instrument(
    "worker_threads_stuck",
    Kind.GAUGE,
    Seer.WORKER,
    "Handlers that go on after they were interrupted, and parts of worker processes that hang or have ended.",
)
QUEUE_DELIVERIES = Instrument(
    "queue_deliveries",
    Kind.GAUGE,
    Seer.COLLECTOR,
    "Deliveries in a queue by where they stand, and the dead ones that are kept.",
    ("queue", "state"),
)
OLDEST_READY = Instrument(
    "queue_oldest_ready_age_seconds",
    Kind.GAUGE,
    Seer.COLLECTOR,
    "How long the delivery at the head of a queue has been due; 0 if there is none.",
    ("queue",),
)
OLDEST_DEAD = Instrument(
    "dead_oldest_age_seconds",
    Kind.GAUGE,
    Seer.COLLECTOR,
    "How long ago the oldest dead delivery that is kept ended; 0 if there is none.",
    ("queue",),
)
QUEUE_WORKERS = Instrument(
    "queue_workers",
    Kind.GAUGE,
    Seer.COLLECTOR,
    "Worker processes of the workspace that take from a queue.",
    ("queue",),
)
QUEUE_PAUSED = Instrument(
    "queue_paused", Kind.GAUGE, Seer.COLLECTOR, "1 while a queue is paused, else 0.", ("queue",)
)
QUEUE_DISCARDED = Instrument(
    "queue_discarded_total",
    Kind.COUNTER,
    Seer.COLLECTOR,
    "Deliveries that ended discarded, by a worker, a cancel, a purge or an operator, as the mailbox counts.",
    ("queue",),
)
QUEUE_REPLAYED = Instrument(
    "queue_replayed_total",
    Kind.COUNTER,
    Seer.COLLECTOR,
    "Dead letters that were made live again in a queue, as the mailbox counts.",
    ("queue",),
)
MEMORY_USED = Instrument(
    "server_memory_used_bytes",
    Kind.GAUGE,
    Seer.COLLECTOR,
    "Memory that the mailbox's server takes, with all that others keep there.",
)
MEMORY_LIMIT = Instrument(
    "server_memory_limit_bytes",
    Kind.GAUGE,
    Seer.COLLECTOR,
    "Memory beyond which the mailbox's server refuses to publish; 0 if it has no limit.",
)
LAST_SUCCESS = Instrument(
    "collector_last_success_timestamp_seconds",
    Kind.GAUGE,
    Seer.COLLECTOR,
    "When the state of the mailbox was read last.",
)
OVERFLOW = Instrument(
    "label_overflow_total",
    Kind.COUNTER,
    Seer.ALL,
    f"Values of a label that were not declared and are counted as {OTHER!r}.",
    ("label",),
)
BUILD = Instrument("build_info", Kind.INFO, Seer.ALL, "Versions.", ("version", "dramatiq", "server"))

INSTRUMENTS = (
    PUBLISHED,
    UNROUTED,
    DUPLICATES,
    SETTLED,
    ENDED,
    ERRORS,
    TIMEOUTS,
    TAKEOVERS,
    FENCED,
    ITEMS,
    PARTIAL,
    CLAIMS,
    STORE_SECONDS,
    STORE_ERRORS,
    PROCESSING,
    WAIT,
    AGE,
    ATTEMPTS,
    THREADS,
    BUSY,
    STUCK,
    QUEUE_DELIVERIES,
    OLDEST_READY,
    OLDEST_DEAD,
    QUEUE_WORKERS,
    QUEUE_PAUSED,
    QUEUE_DISCARDED,
    QUEUE_REPLAYED,
    MEMORY_USED,
    MEMORY_LIMIT,
    LAST_SUCCESS,
    OVERFLOW,
    BUILD,
)

BY_NAME = {instrument.name: instrument for instrument in INSTRUMENTS}
