"""Judges a round: reads what was seen and says what was lost, stuck, done twice, and why."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from .alone import judge_alone
from .load import EVENTS, FOLLOW, QUEUES, Ending, follow_up_of
from .observed import Observed, Publish, Record, Run
from .repeats import Repeats, judge_repeats
from .timely import judge_timely

Address = tuple[str, str]
"""An actor, and the token of an event for it."""

SHOWN = 5
"""Violations of one kind that are told one by one."""


class Verdict(msgspec.Struct, frozen=True):
    """What became of a round."""

    published: int
    """Publishes that were tried, whatever their answer."""
    accepted: int
    """Deliveries that the system took."""
    completed: int
    dead: int
    discarded: int
    lost: int
    """Accepted, not ended, and nowhere to be found."""
    stuck: int
    """Still there when patience ended."""
    repeats: Repeats
    takeovers: int
    fenced: int
    violations: tuple[str, ...]
    """Empty when all promises were kept."""


class _Board:
    """What was seen, by the address it belongs to."""

    def __init__(self, seen: Observed) -> None:
        self.seen = seen
        self.runs: dict[Address, list[Run]] = defaultdict(list)
        self.records: dict[Address, list[Record]] = defaultdict(list)
        for run in seen.runs:
            self.runs[run.actor, run.token].append(run)
        for record in seen.records:
            self.records[record.actor, record.token].append(record)

    def keys(self, address: Address) -> set[str]:
        """The deliveries there were for an address."""
        known: list[Run | Record] = [*self.runs.get(address, ()), *self.records.get(address, ())]
        return {each.key for each in known}

    def state(self, address: Address) -> "Ending | str":
        """Where the delivery of an address ended: `held` or `lost` if it did not."""
        for record in self.records.get(address, ()):
            return record.state
        done = any(run.result == "done" for run in self.runs.get(address, ()))
        return "completed" if done else "lost"

    def is_known(self, address: Address) -> bool:
        """Whether anything was ever seen of it."""
        return address in self.runs or address in self.records


def check(seen: Observed) -> Verdict:
    """Judge what was seen of a round."""
    board = _Board(seen)
    accepted: list[Address] = []
    violations: list[str] = []
    for publish in seen.publishes:
        violations += _judge_publish(board, publish, accepted)
        violations += _judge_follow_up(board, publish, accepted)
    states = Counter(board.state(address) for address in accepted)
    lost = [f"lost: {actor} of {token}" for actor, token in accepted if board.state((actor, token)) == "lost"]
    stuck = [f"stuck: {r.actor} of {r.token}" for r in seen.records if r.state == "held"]
    repeats, faults = judge_repeats(seen.runs, seen.disturbances)
    violations += [*lost, *stuck, *_strangers(board), *_ended_twice(board), *faults, *seen.uneven]
    violations += [
        *judge_alone(seen.runs),
        *judge_timely(seen.publishes, seen.runs),
        *_judge_counts(board, accepted),
    ]
    return Verdict(
        published=len(seen.publishes),
        accepted=len(accepted),
        completed=states["completed"],
        dead=states["dead"],
        discarded=states["discarded"],
        lost=len(lost),
        stuck=len(stuck),
        repeats=repeats,
        takeovers=sum(queue.takeovers for queue in seen.queues),
        fenced=sum(queue.fenced for queue in seen.queues),
        violations=tuple(violations),
    )


def _judge_publish(board: _Board, publish: Publish, accepted: list[Address]) -> Iterable[str]:
    """What a publisher was told must hold; one that was told nothing made all deliveries or none."""
    event = EVENTS[publish.event]
    addresses = [(actor, publish.token) for actor in event.actors]
    known = [address for address in addresses if board.is_known(address)]
    if publish.result == "ok":
        accepted += addresses
    elif publish.result == "unknown" and known:
        accepted += known
        if len(known) < len(addresses):
            yield f"torn: {publish.token} reached {len(known)} of {len(addresses)} actors"
    if publish.result == "fail" and known:
        yield f"refused, but delivered: {publish.token}"
    for address in known:
        actor = address[0]
        if len(board.keys(address)) > 1:
            yield f"published once, delivered as two: {actor} of {publish.token}"
        state = board.state(address)
        reasons = {record.reason for record in board.records.get(address, ())}
        if state not in {event.ending, "held", "lost"} and "poison" not in reasons:
            yield f"{state} instead of {event.ending}: {actor} of {publish.token} {reasons or ''}"


def _judge_follow_up(board: _Board, publish: Publish, accepted: list[Address]) -> Iterable[str]:
    """A follow-up exists once if its cause was completed, and not at all if it was not."""
    event = EVENTS[publish.event]
    if not event.causes:
        return
    follow_up = (FOLLOW, follow_up_of(publish.token))
    completed = board.state((event.actors[0], publish.token)) == "completed"
    if completed:
        accepted.append(follow_up)
    count = len(board.keys(follow_up))
    if count > 1:
        yield f"{count} follow-ups of one cause: {publish.token}"
    elif count == 1 and not completed:
        yield f"a follow-up of a cause that did not complete: {publish.token}"


def _ended_twice(board: _Board) -> Iterable[str]:
    """A delivery ends once; only where it was poison may a publisher have begun another of its key."""
    ends = Counter(
        (record.actor, record.token, record.key)
        for record in board.seen.records
        if record.state != "held" and record.reason != "poison"
    )
    for (actor, token, _key), times in ends.items():
        if times > 1:
            yield f"ended {times} times: {actor} of {token}"


def _strangers(board: _Board) -> Iterable[str]:
    """Deliveries of what nobody published."""
    tokens = {publish.token for publish in board.seen.publishes}
    for address in [*board.runs, *board.records]:
        actor, token = address
        if token.rstrip(">") not in tokens:
            yield f"never published: {actor} of {token}"


def _judge_counts(board: _Board, accepted: Sequence[Address]) -> Iterable[str]:
    """The system's own counts must agree with what was seen of each queue."""
    by_state = Counter((QUEUES[actor], board.state((actor, token))) for actor, token in accepted)
    ended = Counter((QUEUES[record.actor], record.state) for record in board.seen.records)
    for queue in board.seen.queues:
        expected = {
            "succeeded": by_state[queue.queue, "completed"],
            "dead": ended[queue.queue, "dead"],
            "discarded": ended[queue.queue, "discarded"],
        }
        for name, count in expected.items():
            if getattr(queue, name) != count:
                yield f"{queue.queue} counts {getattr(queue, name)} {name}, but {count} were seen"
        if queue.accepted != queue.live + queue.ended:
            yield f"{queue.queue} does not add up: {queue}"


def summary_of(violations: Sequence[str]) -> list[str]:
    """The first few violations of each kind, and how many more there are."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for violation in violations:
        by_kind[violation.partition(":")[0]].append(violation)
    lines: list[str] = []
    for kind, those in by_kind.items():
        lines += those[:SHOWN]
        if len(those) > SHOWN:
            lines.append(f"(+{len(those) - SHOWN} more of: {kind})")
    return lines
