"""Dead letters as an operator deals with them: found by what they have in common, replayed and discarded."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import msgspec

from ..messages.codec import decode_envelope
from ..messages.delivery import OutcomeKind, Reason
from ..messages.errors import ConfigurationError, UnreadableBody
from .mailbox.mailbox import MIN_WINDOW_MS, Mailbox
from .mailbox.records import EndedRecord, Facts, Redress, Replay, Span, records_in
from .mailbox.subscriptions import RouteBook, Subscription

SLICE = 20
"""Dead letters that are mended in one step: nobody else is served meanwhile."""

Show = Callable[[int], None]
"""Told how many were dealt with."""


class DeadFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are meant; what is empty or None says nothing."""

    actor: str = ""
    queue: str = ""
    reason: Reason | None = None
    error: str = ""
    """The class name of the last error."""
    fingerprint: str = ""
    """Where the last error came from, or how that begins; see `origin_of`."""
    event: str = ""
    """The event's id, or its contract's name."""
    since: int = 0
    """Dead then or later, epoch milliseconds."""
    until: int | None = None
    """Dead then or earlier."""

    def matches(self, record: EndedRecord) -> bool:
        """Whether a record is meant, as far as its mailbox has not looked already: not by actor and time."""
        error = record.history.last_error
        return (
            (self.reason is None or record.reason is self.reason)
            and (not self.error or (error is not None and error.type == self.error))
            and (not self.fingerprint or (error is not None and error.origin.startswith(self.fingerprint)))
            and (not self.event or self.event in (record.facts.event, record.facts.contract))
        )


class DeadGroup(msgspec.Struct, frozen=True):
    """Dead letters that have actor, reason, error class and fingerprint in common."""

    actor: str
    reason: Reason | None
    error: str
    """The class name of the last error; empty if there was none."""
    fingerprint: str
    count: int
    first_at: int
    """When the first of them died, epoch milliseconds."""
    last_at: int
    example: str
    """The name of the latest of them."""


class Mended(msgspec.Struct, frozen=True):
    """What a replay or a discard has come to."""

    run: str
    """What tells it from others: given again, it goes on where it was ended."""
    dry_run: bool
    matched: int = 0
    done: int = 0
    already: int = 0
    """Mended by another run meanwhile."""
    duplicate: int = 0
    """Left dead: a delivery of its key lives again, or was completed within its window."""
    conflict: int = 0
    """Left dead: the same with another body."""
    gone: int = 0
    """Forgotten meanwhile."""
    paused: tuple[str, ...] = ()
    """Queues that they went to, or would, and that hand out nothing until they are resumed."""


class DeadLetters:
    """The dead letters of a mailbox. All that is done to many is done a page at a time, in flat memory.

    `sleep` waits for so many seconds between slices whose rate is limited. Every method raises what
    `Mailbox` does.
    """

    def __init__(self, mailbox: Mailbox, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._mailbox = mailbox
        self._sleep = sleep

    def each(self, where: DeadFilter = DeadFilter(), *, newest_first: bool = True) -> Iterator[EndedRecord]:  # noqa: B008 - it cannot change
        """One after another without their bodies: queue by queue, each in order of time."""
        info = self._mailbox.info()
        # What dies meanwhile, replayed and failed once more, is not met again.
        until = info.at if where.until is None else min(where.until, info.at)
        queues = [where.queue] if where.queue else [each.queue for each in info.queues]
        for queue in queues:
            span = Span(queue, OutcomeKind.DEAD, where.actor, where.since, until, newest_first)
            for record in records_in(self._mailbox.records, span):
                known = self._with_facts(record) if where.event else record
                if where.matches(known):
                    yield known

    def groups(self, where: DeadFilter = DeadFilter()) -> list[DeadGroup]:  # noqa: B008 - as above
        """What they have in common and how many each, the largest group first."""
        groups: dict[tuple[str, Reason | None, str, str], DeadGroup] = {}
        for record in self.each(where, newest_first=False):
            key = _kin_of(record)
            before = groups.get(key)
            groups[key] = DeadGroup(
                *key,
                count=before.count + 1 if before else 1,
                first_at=min(before.first_at, record.at) if before else record.at,
                last_at=max(before.last_at, record.at) if before else record.at,
                example=record.id if before is None or record.at >= before.last_at else before.example,
            )
        return sorted(groups.values(), key=lambda each: (-each.count, -each.last_at))

    def replay(
        self,
        where: DeadFilter = DeadFilter(),  # noqa: B008 - as above
        *,
        names: Iterable[str] | None = None,
        to: str = "",
        limit: int | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        run: str = "",
        show: Show = lambda _count: None,
    ) -> Mended:
        """Make them live again, the ones that died first before the others.

        Each keeps its event's id, its body and its causes; its attempts and its age begin anew. What lives
        again or was completed within its window is left dead and counted as `duplicate`. With `names`
        those records alone, which are none if it is empty, with `to` for another actor, `rate` a second
        at most. Raises `ConfigurationError` when `to` subscribes to nothing, or not to what a letter is, in a
        dry run too.
        """
        plan = _Plan(self._mailbox.routes(), to)
        chosen = self._chosen(where, names, limit)

        def mend(records: list[EndedRecord], run: str) -> list[Redress]:
            # Planned in a dry run as well: it tells what the other actor does not take.
            letters = [plan.replay_of(self._with_facts(each)) for each in records]
            return [] if dry_run else self._mailbox.records.replay(letters, run)

        paused = {each.queue for each in self._mailbox.info().queues if each.paused}
        mended = self._mend(chosen, mend, rate=rate, dry_run=dry_run, run=run, show=show)
        return msgspec.structs.replace(mended, paused=tuple(sorted(plan.queues & paused)))

    def discard(
        self,
        where: DeadFilter = DeadFilter(),  # noqa: B008 - as above
        *,
        names: Iterable[str] | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        run: str = "",
        show: Show = lambda _count: None,
    ) -> Mended:
        """Let them be discarded with the reason `operator`; their records are kept for as long as before.

        With `names` those records alone, which are none if it is empty.
        """

        def mend(records: list[EndedRecord], run: str) -> list[Redress]:
            return [] if dry_run else self._mailbox.records.discard([each.id for each in records], run)

        return self._mend(self._chosen(where, names, limit), mend, dry_run=dry_run, run=run, show=show)

    def _chosen(
        self, where: DeadFilter, names: Iterable[str] | None, limit: int | None
    ) -> Iterator[EndedRecord]:
        # A choice that came out empty is none of them, and not all.
        if names is None:
            return islice(self.each(where, newest_first=False), limit)
        named = [self._mailbox.records.get(name) for name in dict.fromkeys(names)]
        return islice([each for each in named if each is not None], limit)

    def _mend(
        self,
        chosen: Iterator[EndedRecord],
        mend: Callable[[list[EndedRecord], str], list[Redress]],
        *,
        rate: float | None = None,
        dry_run: bool,
        run: str,
        show: Show,
    ) -> Mended:
        run = run or os.urandom(8).hex()
        counts = dict.fromkeys(Redress, 0)
        matched, begun = 0, time.monotonic()
        size = SLICE if rate is None else max(1, min(SLICE, int(rate)))
        while records := list(islice(chosen, size)):
            if rate is not None and not dry_run:
                self._sleep(max(0.0, begun + matched / rate - time.monotonic()))
            matched += len(records)
            for redress in mend(records, run):
                counts[redress] += 1
            show(matched)
        return Mended(
            run,
            dry_run,
            matched,
            done=counts[Redress.DONE],
            already=counts[Redress.ALREADY],
            duplicate=counts[Redress.DUPLICATE],
            conflict=counts[Redress.CONFLICT],
            gone=counts[Redress.GONE],
        )

    def _with_facts(self, record: EndedRecord) -> EndedRecord:
        """The same with what its body tells, if its worker was lost before it told anything."""
        if record.facts.contract:
            return record
        whole = self._mailbox.records.get(record.id)
        return record if whole is None else msgspec.structs.replace(record, facts=facts_in(whole))


class _Plan:
    """Where replayed letters go, by the routes of one moment."""

    def __init__(self, book: RouteBook, to: str) -> None:
        self._routes = {each.actor: each for each in book.subscriptions}
        self._to = to
        self.queues: set[str] = set()
        """Where they go."""
        if to and to not in self._routes:
            known = ", ".join(self._routes) or "none yet"
            raise ConfigurationError(f"no actor {to!r} is registered: choose of {known}, or start its worker")

    def replay_of(self, record: EndedRecord) -> Replay:
        """A letter as what it becomes live again."""
        replay = self._replay_of(record)
        self.queues.add(replay.queue)
        return replay

    def _replay_of(self, record: EndedRecord) -> Replay:
        actor = self._to or record.actor
        route = self._routes.get(actor)
        identity = f"{actor}:{record.delivery.partition(':')[2]}"
        if route is None:
            return Replay(record.id, identity, record.queue, MIN_WINDOW_MS)
        facts = record.facts
        if self._to and facts.contract not in route.contracts:
            what = facts.contract or "what cannot be read"
            raise ConfigurationError(f"{actor} does not subscribe to {what}: it cannot take {record.id}")
        lane = f"{actor}:{facts.entity}" if route.ordered and facts.entity else ""
        return Replay(record.id, identity, route.queue, _window_of(route, facts.contract), lane)


def _window_of(route: Subscription, contract: str) -> int:
    return route.contracts.get(contract) or max(route.contracts.values(), default=MIN_WINDOW_MS)


def _kin_of(record: EndedRecord) -> tuple[str, Reason | None, str, str]:
    error = record.history.last_error
    return record.actor, record.reason, error.type if error else "", error.origin if error else ""


def facts_in(record: EndedRecord) -> Facts:
    """What the body of a record tells where its worker told nothing; nothing if it cannot be read."""
    try:
        envelope = decode_envelope(record.body)
    except UnreadableBody:
        return record.facts
    return msgspec.structs.replace(
        record.facts,
        event=envelope.id,
        contract=envelope.type,
        version=envelope.dataversion,
        entity=envelope.subject or "",
        correlation=envelope.correlationid or "",
        causation=envelope.causationid or "",
    )
