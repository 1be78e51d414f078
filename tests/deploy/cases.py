"""What Prometheus saw, and what each alert must say of it."""

from tests.deploy.case import Case

ENDED = (
    'callboard_deliveries_ended_total{queue="orders", actor="send", event="placed", result="%s", reason="%s"}'
)
SUCCEEDED = ENDED % ("succeeded", "")
DEAD = ENDED % ("dead", "max_attempts")
SETTLED = 'callboard_deliveries_settled_total{queue="orders", actor="send", event="placed", outcome="%s"}'
READY = 'callboard_queue_deliveries{queue="orders", state="ready", instance="%s"}'
KEPT = 'callboard_queue_deliveries{queue="orders", state="dead"}'
OLDEST = 'callboard_queue_oldest_ready_age_seconds{queue="orders"}'
WORKERS = 'callboard_queue_workers{queue="orders"}'
PAUSED = 'callboard_queue_paused{queue="orders"}'
WAITS = 'callboard_delivery_wait_seconds_bucket{queue="orders", le="%s"}'
BUSY = 'callboard_worker_threads_busy{job="shop", instance="%s"}'
THREADS = 'callboard_worker_threads{job="shop", instance="%s"}'
STUCK = 'callboard_worker_threads_stuck{job="shop", instance="%s"}'
PARTIAL = 'callboard_partial_failures_total{actor="send"}'
TAKEOVERS = 'callboard_delivery_takeovers_total{queue="orders"}'
STORE = 'callboard_store_errors_total{store="mailbox", operation="settle", error="ConnectionError"}'
LOOKED = 'callboard_collector_last_success_timestamp_seconds{instance="%s"}'
OVERFLOW = 'callboard_label_overflow_total{label="%s"}'

ORDERS = {"queue": "orders"}

CASES = (
    Case(
        "ErrorBudgetBurnFast",
        "2 of 102 die, since an hour and still",
        {SUCCEEDED: "0+100x80", DEAD: "0+2x80"},
        "70m",
        {},
        "Deliveries die so fast that 30 days' error budget lasts 2 days",
        "1.961% of the deliveries of the last hour are dead.",
    ),
    Case(
        "ErrorBudgetBurnFast",
        "it was bad, but has been over for some minutes",
        {SUCCEEDED: "0+100x80", DEAD: "0+4x60 240x20"},
        "70m",
    ),
    Case("ErrorBudgetBurnFast", "1 of 101 dies", {SUCCEEDED: "0+100x80", DEAD: "0+1x80"}, "70m"),
    Case("ErrorBudgetBurnFast", "nothing ended", {SUCCEEDED: "7x80"}, "70m"),
    Case(
        "ErrorBudgetBurnFast",
        "what was thrown away on purpose is no failure",
        {SUCCEEDED: "0+100x80", ENDED % ("discarded", "max_age"): "0+50x80"},
        "70m",
    ),
    Case(
        "ErrorBudgetBurnSlow",
        "8 of 1008 die, for hours",
        {SUCCEEDED: "0+1000x60", DEAD: "0+8x60"},
        "50m",
        {},
        "Deliveries die so fast that 30 days' error budget lasts 5 days",
        "0.7937% of the deliveries of the last 6 hours are dead.",
    ),
    Case("ErrorBudgetBurnSlow", "5 of 1005 die", {SUCCEEDED: "0+1000x60", DEAD: "0+5x60"}, "50m"),
    Case(
        "ErrorBudgetBurnSlow",
        "it was bad, but has been over for an hour",
        {SUCCEEDED: "0+1000x110", DEAD: "0+20x50 1000x60"},
        "100m",
    ),
    Case(
        "DeadLetters",
        "the first that ever died",
        {KEPT: "0x10 1x10"},
        "15m",
        ORDERS,
        "Deliveries of queue orders were given up",
        "About 1 became dead in the last 15 minutes.",
    ),
    Case(
        "DeadLetters",
        "some die while others are replayed",
        {KEPT: "5x20", DEAD: "0+1x20"},
        "18m",
        ORDERS,
        "Deliveries of queue orders were given up",
        "About 15 became dead in the last 15 minutes.",
    ),
    Case("DeadLetters", "they are old, and known", {KEPT: "5x40", DEAD: "5x40"}, "30m"),
    Case("DeadLetters", "they become fewer", {KEPT: "5-1x4 0x40"}, "10m"),
    Case(
        "QueueLatencyHigh",
        "2 of 100 wait between 1 and 5 minutes",
        {WAITS % "60": "0+98x40", WAITS % "300": "0+100x40", WAITS % "+Inf": "0+100x40"},
        "30m",
        ORDERS,
        "Deliveries of queue orders wait long before they are started",
        "One of a hundred waits 3m 0s or more.",
    ),
    Case(
        "QueueLatencyHigh",
        "all are started within a minute",
        {WAITS % "60": "0+100x40", WAITS % "300": "0+100x40", WAITS % "+Inf": "0+100x40"},
        "30m",
    ),
    Case(
        "QueueLatencyHigh",
        "for a few minutes they waited",
        {WAITS % "60": "0+10x5 60+100x40", WAITS % "300": "0+100x45", WAITS % "+Inf": "0+100x45"},
        "12m",
    ),
    Case(
        "QueueStalled",
        "there are workers, and nothing moves",
        {OLDEST: "0+60x20", WORKERS: "2x20", SETTLED % "succeeded": "9x20"},
        "16m",
        ORDERS,
        "Queue orders stands still though it has workers",
        "Its oldest delivery has waited 16m 0s, and nothing is settled.",
    ),
    Case(
        "QueueStalled",
        "there are workers that never settled anything",
        {OLDEST: "0+60x20", WORKERS: "2x20"},
        "16m",
        ORDERS,
        "Queue orders stands still though it has workers",
        "Its oldest delivery has waited 16m 0s, and nothing is settled.",
    ),
    Case(
        "QueueStalled",
        "it is slow, but moves",
        {OLDEST: "0+60x20", WORKERS: "2x20", SETTLED % "retried": "0+1x20"},
        "16m",
    ),
    Case("QueueStalled", "it is paused", {OLDEST: "0+60x20", WORKERS: "2x20", PAUSED: "1x20"}, "16m"),
    Case("QueueStalled", "nothing waits", {OLDEST: "0x20", WORKERS: "2x20"}, "16m"),
    Case(
        "NoWorkers",
        "deliveries are ready and no worker is there, as two pools tell",
        {READY % "a": "7x20", READY % "b": "7x20", WORKERS: "0x20", PAUSED: "0x20"},
        "10m",
        ORDERS,
        "No worker takes from queue orders",
        "7 deliveries are ready and nobody takes them.",
    ),
    Case(
        "NoWorkers",
        "the last worker leaves a queue with nothing in it",
        {READY % "a": "0x20", WORKERS: "0x20"},
        "10m",
    ),
    Case(
        "NoWorkers",
        "a deploy: they are gone for two minutes",
        {READY % "a": "7x20", WORKERS: "1x3 0x2 1x20"},
        "8m",
    ),
    Case(
        "NoWorkers", "it is paused meanwhile", {READY % "a": "7x20", WORKERS: "0x20", PAUSED: "1x20"}, "10m"
    ),
    Case(
        "BacklogWontDrain",
        "it becomes longer",
        {READY % "a": "1000+10x60", OLDEST: "400x60", WORKERS: "1x60"},
        "40m",
        ORDERS,
        "The backlog of queue orders will not be gone within an hour",
        "At this pace it takes +Inf.",
    ),
    Case(
        "BacklogWontDrain",
        "it becomes shorter, but slowly",
        {READY % "a": "6000-10x60", OLDEST: "400x60", WORKERS: "1x60"},
        "50m",
        ORDERS,
        "The backlog of queue orders will not be gone within an hour",
        "At this pace it takes 9h 10m 0s.",
    ),
    Case("BacklogWontDrain", "it will be gone soon", {READY % "a": "6000-120x45", OLDEST: "400x60"}, "30m"),
    Case(
        "BacklogWontDrain",
        "it is long, but waits are short",
        {READY % "a": "1000+10x60", OLDEST: "3x60"},
        "40m",
    ),
    Case(
        "BacklogWontDrain",
        "it is paused",
        {READY % "a": "1000+10x60", OLDEST: "400x60", PAUSED: "1x60"},
        "40m",
    ),
    Case(
        "WorkersSaturated",
        "19 of 20 threads are busy",
        {BUSY % "a": "9x40", THREADS % "a": "10x40", BUSY % "b": "10x40", THREADS % "b": "10x40"},
        "30m",
        {"job": "shop"},
        "Nearly all worker threads of shop are busy all the time",
        "95% of the threads are in a handler.",
    ),
    Case(
        "WorkersSaturated",
        "one pool is busy, the other has room",
        {BUSY % "a": "10x40", THREADS % "a": "10x40", BUSY % "b": "5x40", THREADS % "b": "10x40"},
        "30m",
    ),
    Case(
        "WorkersSaturated", "for ten minutes", {BUSY % "a": "0x10 10x10 0x20", THREADS % "a": "10x40"}, "20m"
    ),
    Case(
        "RetryStorm",
        "three of four attempts are to be tried again",
        {SETTLED % "retried": "0+30x40", SETTLED % "succeeded": "0+10x40"},
        "30m",
        {"actor": "send"},
        "Actor send retries more than it ends",
        "75% of its attempts are to be tried again.",
    ),
    Case(
        "RetryStorm",
        "one of four",
        {SETTLED % "retried": "0+10x40", SETTLED % "succeeded": "0+30x40"},
        "30m",
    ),
    Case("RetryStorm", "the only delivery there is, once in a while", {SETTLED % "retried": "0+1x40"}, "30m"),
    Case(
        "PartialFailures",
        "some items fail all the time",
        {PARTIAL: "0+3x80"},
        "60m",
        {"actor": "send"},
        "Items of actor send go on failing beside others that succeed",
        "0.050 attempts a second end with some items failed.",
    ),
    Case("PartialFailures", "once, and the retry mended it", {PARTIAL: "0x20 1x60"}, "60m"),
    Case(
        "StuckThreads",
        "two on one pool, none on the other",
        {STUCK % "a": "0x5 2x10", STUCK % "b": "0x15"},
        "10m",
        {"instance": "a"},
        "Handlers or parts of workers on a hang",
        "2 will not be interrupted, do not move, or have ended: /livez says which.",
    ),
    Case("StuckThreads", "none", {STUCK % "a": "0x20"}, "10m"),
    Case(
        "Takeovers",
        "a worker is lost every few minutes",
        {TAKEOVERS: "0 0 8 8 8 8 16 16 16 16 24 24 24 24 32 32 32 32 40 40 40 40 48 48 48 48 56 56 56 56 64"},
        "30m",
        ORDERS,
        "Workers of queue orders keep losing their deliveries",
        "About 24 were taken over in the last 10 minutes.",
    ),
    Case("Takeovers", "one worker was killed", {TAKEOVERS: "0x5 200x40"}, "12m"),
    Case(
        "StoreFailing",
        "the server is away",
        {STORE: "0+30x20"},
        "10m",
        {"store": "mailbox"},
        "Calls of mailbox fail",
        "0.50 calls a second fail; no handler runs without its store.",
    ),
    Case("StoreFailing", "the server was started again", {STORE: "0x3 9x20"}, "8m"),
    Case(
        "CollectorDown",
        "no pool has read the mailbox for minutes",
        {LOOKED % "a": "0+60x5 300x20", LOOKED % "b": "0+60x3 180x20"},
        "12m",
        {},
        "Nobody tells how the queues stand",
        "No pool that is scraped has read the mailbox in 2 minutes; alerts on queues are blind.",
    ),
    Case(
        "CollectorDown",
        "no pool is scraped at all",
        {'up{job="shop"}': "1x20"},
        "10m",
        {},
        "Nobody tells how the queues stand",
        "No pool that is scraped has read the mailbox in 2 minutes; alerts on queues are blind.",
    ),
    Case("CollectorDown", "one pool of two reads on", {LOOKED % "a": "0x20", LOOKED % "b": "0+60x20"}, "10m"),
    Case(
        "LabelOverflow",
        "the first that ever was",
        {OVERFLOW % "event": "_x5 1x20"},
        "10m",
        {"label": "event"},
        "Values of the label event were not declared",
        "They are counted as `other`, so figures by event are not whole.",
    ),
    Case(
        "LabelOverflow",
        "another after hours",
        {OVERFLOW % "error": "3x70 4x20"},
        "75m",
        {"label": "error"},
        "Values of the label error were not declared",
        "They are counted as `other`, so figures by error are not whole.",
    ),
    Case("LabelOverflow", "it was long ago", {OVERFLOW % "event": "_x5 1x80"}, "75m"),
)
