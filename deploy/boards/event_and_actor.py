"""The dashboard of some events and actors: how often, how well, how long, and why not."""

from .panels import Board, Kind, Panel, Query, Row, Unit, Variable, quantiles, rates, share

_BOTH = 'event=~"$event", actor=~"$actor"'
_ACTOR = 'actor=~"$actor"'
_EVENT = 'event=~"$event"'
_SETTLED = "callboard_deliveries_settled_total"


def _wait(quantile: str) -> Query:
    """Of the queues that the chosen actors take from: how long waits are has no actor."""
    waits = "rate(callboard_delivery_wait_seconds_bucket[$__rate_interval])"
    return Query(
        f"histogram_quantile({quantile}, sum by (queue, le) ({waits} and on (queue) {_SETTLED}{{{_BOTH}}}))",
        f"{{{{queue}}}} p{float(quantile) * 100:g}",
    )


_RATE = Row(
    "Rate, errors, duration",
    (
        Panel(
            title="Attempts by outcome",
            says="What attempts came to.",
            queries=(rates(_SETTLED, "outcome", where=_BOTH),),
            unit=Unit.PER_SECOND,
            kind=Kind.STACKED,
        ),
        Panel(
            title="Failed attempts",
            says="Of all attempts, those that were retried or are dead.",
            queries=(
                share(
                    rates(_SETTLED, "actor", where=f'outcome=~"retried|dead", {_BOTH}'),
                    rates(_SETTLED, "actor", where=_BOTH),
                ),
            ),
            unit=Unit.SHARE,
        ),
        Panel(
            title="Duration of an attempt",
            says="With all layers of the stack.",
            queries=quantiles(
                "callboard_delivery_processing_seconds", "actor", where=_ACTOR, shares=("0.5", "0.95", "0.99")
            ),
            unit=Unit.SECONDS,
        ),
    ),
)

_TIME = Row(
    "Time until it is done",
    (
        Panel(
            title="Wait in the queue",
            says="From when a delivery was due to its first attempt, in the queues the actors take from.",
            queries=(_wait("0.5"), _wait("0.99")),
            unit=Unit.SECONDS,
        ),
        Panel(
            title="Age of events when they are done",
            says="From when an event was accepted to when its delivery had ended, retries and all.",
            queries=quantiles("callboard_event_age_at_end_seconds", "event", where=_EVENT),
            unit=Unit.SECONDS,
        ),
        Panel(
            title="Attempts it took",
            says="Of deliveries that ended: the mean, and what 99 of 100 needed at most.",
            queries=(
                share(
                    rates("callboard_delivery_attempts_sum", "actor", where=_ACTOR),
                    rates("callboard_delivery_attempts_count", "actor", where=_ACTOR),
                    "mean",
                ),
                *quantiles("callboard_delivery_attempts", "actor", where=_ACTOR, shares=("0.99",)),
            ),
            unit=Unit.COUNT,
        ),
    ),
)

_WHY = Row(
    "Why not",
    (
        Panel(
            title="Errors by class",
            says="Attempts that failed with an exception.",
            queries=(rates("callboard_delivery_errors_total", "actor, error", where=_ACTOR),),
            unit=Unit.PER_SECOND,
        ),
        Panel(
            title="Timeouts",
            says="Attempts that ran into their timeout: raise it, or make the handler quicker.",
            queries=(rates("callboard_delivery_timeouts_total", "actor", where=_ACTOR),),
            unit=Unit.PER_SECOND,
        ),
        Panel(
            title="Dead and discarded by reason",
            says="Deliveries that ended otherwise than well, and why.",
            queries=(
                rates(
                    "callboard_deliveries_ended_total",
                    "result, reason",
                    where=f'result=~"dead|discarded", {_BOTH}',
                ),
            ),
            unit=Unit.PER_SECOND,
        ),
        Panel(
            title="Items",
            says="Elements of batches and of lists, by what became of them.",
            queries=(rates("callboard_items_total", "actor, status", where=_ACTOR),),
            unit=Unit.PER_SECOND,
        ),
        Panel(
            title="Partial failures",
            says="Attempts in which some items failed and some did not.",
            queries=(rates("callboard_partial_failures_total", "actor", where=_ACTOR),),
            unit=Unit.PER_SECOND,
        ),
        Panel(
            title="Dedup",
            says="What dedup stores answered, of all actors, and publishes of a key that was known.",
            queries=(
                rates("callboard_dedup_claims_total", "store, verdict"),
                rates("callboard_publish_duplicates_total", "event", where=_EVENT),
            ),
            unit=Unit.PER_SECOND,
        ),
        Panel(
            title="Published by source",
            says="Events that the mailbox has answered for.",
            queries=(rates("callboard_events_published_total", "event, source", where=_EVENT),),
            unit=Unit.PER_SECOND,
            width=12,
        ),
        Panel(
            title="Nobody subscribed",
            says="Events published to no actor: callboard routes tells who takes what.",
            queries=(rates("callboard_events_unrouted_total", "event", where=_EVENT),),
            unit=Unit.PER_SECOND,
            width=12,
        ),
    ),
)

EVENT_AND_ACTOR = Board(
    file="event-and-actor",
    title="Callboard: event and actor",
    says="How often, how well and how long, of the events and actors that are chosen above.",
    rows=(_RATE, _TIME, _WHY),
    variables=(
        Variable("event", "Event", "label_values(callboard_deliveries_settled_total, event)"),
        Variable(
            "actor", "Actor", 'label_values(callboard_deliveries_settled_total{event=~"$event"}, actor)'
        ),
    ),
)
