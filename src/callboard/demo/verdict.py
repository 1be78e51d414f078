"""Compares what had to come of the orders with what the handlers did and what the mailbox recorded."""

from collections.abc import Iterable, Sequence

import msgspec

from ..actors.mailbox.infos import MailboxInfo
from .effects import Effect
from .plan import Plan


class Check(msgspec.Struct, frozen=True):
    """One thing that has to be so."""

    what: str
    expected: int
    found: int

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return self.expected == self.found


class Verdict(msgspec.Struct, frozen=True):
    """What the demo has shown. `--json` prints it, with `ok`."""

    checks: tuple[Check, ...]
    repeated_after_kill: int
    """Effects done again because the worker that had done them was killed before it could say so."""
    repeated_after_stall: int
    """Effects done again because a worker stood still for longer than its lease."""
    killed: tuple[int, ...]
    """Process ids of the workers that were killed."""
    published: int
    retried: int
    takeovers: int
    p50_ms: int
    """From when a delivery was due until it was done: the median, and 99 of 100."""
    p99_ms: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether all is as it had to be."""
        return all(check.holds for check in self.checks)


def judge(
    plan: Plan,
    effects: Sequence[Effect],
    info: MailboxInfo,
    *,
    accepted: int,
    duplicates: int,
    killed: Iterable[int],
    seconds: float,
) -> Verdict:
    """The verdict; `accepted` events were, and `duplicates` were answered so."""
    dead_workers = frozenset(killed)
    done = {(effect.actor, effect.order) for effect in effects}
    after_kill, others = _repeated(effects, dead_workers)
    # A worker that was overtaken while it stood still is told so when it settles: that is counted.
    after_stall = min(others, sum(queue.fenced for queue in info.queues))
    delays = sorted(effect.late_ms for effect in effects if effect.attempt == 1)
    return Verdict(
        checks=(
            Check("events accepted", len(plan.events), accepted),
            Check("of them known as duplicates", plan.duplicates, duplicates),
            Check("effects of handlers", len(plan.effects), len(done & plan.effects)),
            Check("effects that were not asked for", 0, len(done - plan.effects)),
            Check("effects done twice, unexplained", 0, others - after_stall),
            Check("recorded as succeeded", len(plan.effects), sum(queue.succeeded for queue in info.queues)),
            Check("recorded as dead", plan.dead, sum(queue.dead for queue in info.queues)),
            Check("still waiting", 0, waiting(info)),
        ),
        repeated_after_kill=after_kill,
        repeated_after_stall=after_stall,
        killed=tuple(sorted(dead_workers)),
        published=accepted,
        retried=sum(queue.retried for queue in info.queues),
        takeovers=sum(queue.takeovers for queue in info.queues),
        p50_ms=percentile(delays, 0.50),
        p99_ms=percentile(delays, 0.99),
        seconds=round(seconds, 1),
    )


def waiting(info: MailboxInfo) -> int:
    """Deliveries that are not at their end."""
    return sum(queue.live for queue in info.queues)


def percentile(ordered: Sequence[int], part: float) -> int:
    """The value that `part` of all do not exceed; 0 of none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0


def _repeated(effects: Iterable[Effect], dead_workers: frozenset[int]) -> tuple[int, int]:
    """How many effects were done again after their worker was killed, and how many else."""
    last: dict[tuple[str, str], Effect] = {}
    after_kill = others = 0
    for effect in sorted(effects, key=lambda each: each.fence):
        before = last.get((effect.actor, effect.order))
        if before is not None and before.pid in dead_workers:
            after_kill += 1
        elif before is not None:
            others += 1
        last[effect.actor, effect.order] = effect
    return after_kill, others
