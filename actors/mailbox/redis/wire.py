"""How postings and settlements become the arguments of scripts, and answers become values again."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ....messages.delivery import NO_HISTORY, Delivery, History, OutcomeKind, ServerClock
from ....messages.stored import FINGERPRINT_SIZE
from ..connections import Argument
from ..infos import WORKER_LASTS_MS, DeadLettersInfo, Holder, LaneInfo, Pause, QueueInfo
from ..mailbox import ENDED_RETENTION_MS, MIN_WINDOW_MS, PAUSED_LOOK_MS, Fetched, Posting, Settlement
from ..subscriptions import MOST_SAID, UPHELD_MS, Subscription
from ..suspects import HUNT_MS, MAX_CRASHES, Suspects

_FRESH, _AGAIN, _INHERITS = 1, 2, 3

_history_decoder = msgspec.json.Decoder(History)


def token_of(delivery: Delivery) -> str:
    """What proves that a delivery is held: its fence, marked if it was handed out as a suspect."""
    if delivery.alone:
        return f"{delivery.fence}!"
    return f"{delivery.fence}?" if delivery.suspect else str(delivery.fence)


def put_posting(out: list[Argument], posting: Posting, *, again: bool = False) -> None:
    """Append one posting as the scripts read it; `again` when it may have been sent before."""
    sent = _AGAIN if again or posting.sent_before else int(posting.fresh)
    came_of = posting.came_of
    out += (
        posting.event,
        posting.fingerprint,
        posting.body,
        posting.delay_ms,
        posting.due_at,
        sent if came_of is None else sent + _INHERITS,
    )
    if sent != _FRESH:
        out.append(posting.id)
    if came_of is not None:
        out += (came_of.event, came_of.correlation, came_of.cause, came_of.cause_name)
    out.append(len(posting.targets))
    for target in posting.targets:
        window_ms = max(target.window_ms, MIN_WINDOW_MS)
        out += (target.queue, f"{target.actor}:{target.key}", window_ms, target.lane)


def publish_arguments(
    postings: Sequence[Posting], routes_version: int | None, *, again: bool
) -> list[Argument]:
    """The arguments of the publish script."""
    out: list[Argument] = ["" if routes_version is None else routes_version, len(postings)]
    for posting in postings:
        put_posting(out, posting, again=again)
    return out


def settle_arguments(
    settlements: Sequence[Settlement], most_recorded: int
) -> tuple[list[Argument], list[int]]:
    """The arguments of the settle script, and the position of each answer's settlement.

    Successes that publish nothing and of which no record is kept, nearly all there are, go in groups that
    the script settles together.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    others: list[int] = []
    set_apart: set[str] = set()
    for position, settlement in enumerate(settlements):
        delivery = settlement.delivery
        history, facts = settlement.history, settlement.facts
        plain = (
            settlement.outcome.kind is OutcomeKind.SUCCEEDED
            and facts is None
            and not settlement.postings
            and (history is None or not history.items)
        )
        if plain and not (set_apart and delivery.id in set_apart):
            groups.setdefault((delivery.queue, settlement.window_ms), []).append(position)
        else:
            set_apart.add(delivery.id)
            others.append(position)
    out: list[Argument] = [ENDED_RETENTION_MS, most_recorded, len(groups)]
    order: list[int] = []
    for (queue, window_ms), positions in groups.items():
        out += (queue, max(window_ms, MIN_WINDOW_MS), len(positions))
        for position in positions:
            delivery = settlements[position].delivery
            out += (delivery.id, token_of(delivery), delivery.stored[:FINGERPRINT_SIZE])
        order += positions
    out.append(len(others))
    for position in others:
        _put_settlement(out, settlements[position])
    return out, order + others


def _put_settlement(out: list[Argument], settlement: Settlement) -> None:
    delivery, outcome, facts = settlement.delivery, settlement.outcome, settlement.facts
    history = delivery.history if settlement.history is None else settlement.history
    out += (
        outcome.kind.value,
        delivery.queue,
        delivery.id,
        token_of(delivery),
        max(settlement.window_ms, MIN_WINDOW_MS),
        delivery.fingerprint,
        outcome.delay_ms,
        outcome.reason.value if outcome.reason else "",
        outcome.detail or "",
        msgspec.json.encode(history),
        "" if facts is None or facts.event == delivery.key else facts.event,
        "" if facts is None else msgspec.json.encode(facts),
        max(settlement.retention_ms, MIN_WINDOW_MS),
        _routes_version(settlement.postings),
        len(settlement.postings),
    )
    for posting in settlement.postings:
        put_posting(out, posting)


def _routes_version(postings: Sequence[Posting]) -> Argument:
    """The oldest version that postings were routed by; a handler may publish while routes change."""
    versions = [posting.routes_version for posting in postings if posting.routes_version is not None]
    return min(versions, default="")


def renew_arguments(groups: Iterable[tuple[str, Sequence[Delivery]]], lease_ms: int) -> list[Argument]:
    """The arguments of the renew script."""
    body: list[Argument] = []
    count = 0
    for queue, deliveries in groups:
        body += (queue, len(deliveries))
        for delivery in deliveries:
            body += (delivery.id, token_of(delivery))
        count += 1
    return [lease_ms, count, *body]


def fetch_arguments(
    queue: str,
    limit: int,
    owner: str,
    lease_ms: int,
    *,
    alone: bool,
    suspects: Suspects,
    most_recorded: int,
) -> list[Argument]:
    """The arguments of the fetch script."""
    how = ("alone" if suspects.charged else "beside") if alone else ""
    together = -1 if suspects.together is None else suspects.together
    hunt_ms = min(HUNT_MS, lease_ms) if suspects.hunts else 0
    kept = (ENDED_RETENTION_MS, most_recorded)
    told = (hunt_ms, PAUSED_LOOK_MS)
    return [queue, limit, owner, lease_ms, how, together, MAX_CRASHES, *kept, *told]


def read_fetched(answer: list[Any], queue: str, owner: str, monotonic: float) -> Fetched:
    """The answer of the fetch script to `owner`; `monotonic` is this machine's clock before it was asked."""
    read_at, fence, waiting, suspects, next_in, together, mark, (taken_over, *dead) = answer[:8]
    clock = ServerClock(read_at, monotonic)
    alone, suspect = mark == b"!", mark == b"?"
    deliveries = [
        Delivery(
            identity.decode(),
            queue,
            fence,
            stored,
            clock,
            _history_decoder.decode(history) if history else NO_HISTORY,
            alone,
            suspect,
            False,
            False,
            owner,
            None,
            monotonic,
        )
        for identity, stored, history in _triples(answer[8:])
    ]
    poisoned = [
        Delivery(identity.decode(), queue, 0, stored, clock, _history_decoder.decode(history))
        for identity, stored, history in _triples(dead)
    ]
    soonest = None if next_in < 0 else next_in
    return Fetched(deliveries, waiting, suspects, soonest, together, taken_over, poisoned)


def _triples(flat: Sequence[bytes]) -> Iterable[tuple[bytes, bytes, bytes]]:
    entries = iter(flat)
    return zip(entries, entries, entries, strict=True)


def pairs(flat: Sequence[bytes]) -> Iterable[tuple[str, bytes]]:
    """Name and value of a flat list of both."""
    entries = iter(flat)
    return ((name.decode(), value) for name, value in zip(entries, entries, strict=True))


def read_queue(answer: list[Any]) -> QueueInfo:
    """One queue of the info script's answer."""
    name, ready, leased, scheduled, suspects, counts, lanes, pause, letters = answer
    known = set(QueueInfo.__struct_fields__)
    did = {field: int(value) for field, value in pairs(counts) if field in known}
    listed = tuple(_read_lane(lane) for lane in lanes)
    paused = read_pause(pause)
    return QueueInfo(
        name.decode(),
        ready,
        leased,
        scheduled,
        suspects,
        lanes=listed,
        paused=paused,
        dead_letters=DeadLettersInfo(*[int(float(each)) for each in letters]),
        **did,
    )


def read_pause(answer: list[Any]) -> Pause | None:
    """What is kept of a pause, if there is one."""
    return None if answer[0] is None else pause_of(*answer)


def pause_of(at: bytes, by: bytes, reason: bytes) -> Pause:
    """The pause of which a server keeps these."""
    return Pause(int(at), by.decode(), reason.decode())


def _read_lane(answer: list[Any]) -> LaneInfo:
    lane, ordered, limit, waiting, held, holders = answer
    names = tuple(Holder(identity.decode(), owner.decode()) for identity, owner in holders)
    return LaneInfo(lane.decode(), ordered == 1, None if limit < 0 else limit, waiting, held, names)


def register_arguments(subscriptions: Sequence[Subscription]) -> list[Argument]:
    """The arguments of the register script."""
    out: list[Argument] = [MIN_WINDOW_MS, UPHELD_MS, MOST_SAID, WORKER_LASTS_MS, len(subscriptions)]
    for each in subscriptions:
        limit = "" if each.concurrency is None else each.concurrency
        out += (each.actor, each.queue, limit, msgspec.json.encode(each, order="sorted"))
    return out
