"""Invariant I11: a schedule fires once, not early, and survives restarts, from a second to 366 days ahead."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.suspects import Suspects
from callboard.messages.delivery import Delivery
from callboard.messages.errors import MailboxUnavailable
from callboard.messages.timing import After
from tests.actors.mailbox.conformance import (
    LONG,
    QUEUE,
    SUCCEEDED,
    ServerStage,
    Stage,
    VirtualStage,
    ids,
    posting,
    queue_of,
    retried,
    settlement,
    target,
)
from tests.servers import Server, start_server

SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000
YEAR = 366 * DAY
HORIZONS = [SECOND, 60 * SECOND, HOUR, DAY, 30 * DAY, 365 * DAY, YEAR]

ALONE, LOST = 0.2, 0.03
"""How often a worker looks for one suspect to run alone, and how often it is lost with all it has."""

AnyKind = Literal["valkey", "redis"]


# By a clock that the test moves.


@pytest.mark.parametrize("ahead", HORIZONS)
def test_i11_a_schedule_fires_at_its_moment_and_not_a_millisecond_before(
    virtual_stage: VirtualStage, ahead: int
) -> None:
    due_at = virtual_stage.now() + ahead
    virtual_stage.publish(posting(target("wait"), delay_ms=ahead), posting(target("moment"), due_at=due_at))
    virtual_stage.let_pass(ahead - 1)
    assert virtual_stage.fetch().deliveries == []
    virtual_stage.let_pass(1)
    assert sorted(ids(virtual_stage.fetch().deliveries)) == ["receipt:moment", "receipt:wait"]
    virtual_stage.let_pass(LONG - 1)
    assert virtual_stage.fetch().deliveries == []


@pytest.mark.parametrize("ahead", HORIZONS)
def test_i11_a_retry_fires_at_its_moment_and_not_a_millisecond_before(
    virtual_stage: VirtualStage, ahead: int
) -> None:
    virtual_stage.publish()
    virtual_stage.settle(settlement(virtual_stage.take(), retried(ahead)))
    virtual_stage.let_pass(ahead - 1)
    assert virtual_stage.fetch().deliveries == []
    virtual_stage.let_pass(1)
    assert ids(virtual_stage.fetch().deliveries) == ["receipt:A-1"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    aheads=st.lists(st.integers(SECOND, YEAR), min_size=1, max_size=40),
    looks=st.lists(st.integers(0, YEAR), max_size=20),
    lost=st.sets(st.integers(0, 39), max_size=5),
)
def test_i11_whenever_it_is_looked_each_schedule_fires_once_and_not_early(
    aheads: list[int], looks: list[int], lost: set[int]
) -> None:
    stage = VirtualStage()
    start = stage.now()
    due = {f"receipt:{number}": start + ahead for number, ahead in enumerate(aheads)}
    stage.publish(*(posting(target(str(number)), delay_ms=ahead) for number, ahead in enumerate(aheads)))
    fired, settled = Counter[str](), Counter[str]()
    for look in sorted([*looks, *aheads, YEAR, YEAR + 1, YEAR + 2, YEAR + 3]):
        stage.let_pass(max(0, start + look - stage.now()))
        for each in _all_that_is_there(stage):
            assert stage.now() >= due[each.id]
            first = not fired[each.id]
            fired[each.id] += 1
            if first and int(each.key) in lost:
                stage.mailbox.renew([each], 0)  # its worker is killed: the lease is over
            else:
                assert stage.settle(settlement(each)) == [True]
                settled[each.id] += 1
    assert settled == Counter(dict.fromkeys(due, 1))
    assert fired == Counter({each: 2 if int(each.partition(":")[2]) in lost else 1 for each in due})
    assert stage.queue().succeeded == len(due)


def _all_that_is_there(stage: Stage) -> Iterator[Delivery]:
    for alone in (False, True):
        fetched = stage.mailbox.fetch(
            QUEUE, 100, owner="w", lease_ms=LONG, alone=alone, suspects=Suspects(together=100)
        )
        yield from fetched.deliveries


# On servers that are killed.


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_i11_every_horizon_survives_a_server_that_is_killed(
    kind: AnyKind, tmp_path: Path, open_stage: Callable[[str], ServerStage]
) -> None:
    server = start_server(kind, tmp_path, "--appendfsync", "no")
    stage = open_stage(server.url)
    try:
        now = stage.now()
        stage.publish(*(posting(target(str(ahead)), due_at=now + ahead + HOUR) for ahead in HORIZONS[:-1]))
        stage.publish(posting(target("year"), delay_ms=YEAR))
        before = list(stage.mailbox.schedule.soonest([QUEUE]))
        assert [each.due_at - now - HOUR for each in before[:-1]] == HORIZONS[:-1]
        server.kill()
        server.restart()
        assert list(stage.mailbox.schedule.soonest([QUEUE])) == before
        assert stage.fetch().deliveries == []
        moved_at = stage.now()
        stage.mailbox.schedule.move("receipt:year", After(delay_ms=SECOND))
        server.kill()
        server.restart()
        assert stage.queue().scheduled == len(HORIZONS)
        delivery = stage.take_when_due()
        assert (delivery.id, stage.now() >= moved_at + SECOND) == ("receipt:year", True)
        assert stage.settle(settlement(delivery)) == [True]
    finally:
        stage.close()
        server.stop()


class Crowd:
    """Workers that take what is due and settle it, or are lost with it; and what they saw."""

    def __init__(self, url: str, workspace: str, count: int, *, seed: int) -> None:
        self.mailbox = RedisMailbox(url, workspace, patience=60.0)
        self.settled: Counter[str] = Counter()
        self.early: list[str] = []
        self.lost = 0
        self._count = count
        self._lock = threading.Lock()
        self._random = random.Random(seed)  # noqa: S311 - which worker is lost is no secret
        self._threads = [threading.Thread(target=self._work, args=(f"w{n}",)) for n in range(2)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), queue_of(self.mailbox.info(), QUEUE)

    def _work(self, owner: str) -> None:
        while len(self.settled) < self._count:
            with suppress(MailboxUnavailable):
                self._take(owner)

    def _take(self, owner: str) -> None:
        alone = self._random.random() < ALONE
        fetched = self.mailbox.fetch(
            QUEUE, 1000, owner=owner, lease_ms=1500, alone=alone, suspects=Suspects(together=1000)
        )
        if not fetched.deliveries:
            with suppress(MailboxUnavailable):
                self.mailbox.wait(QUEUE, 0.05)
            return
        self.early += [each.id for each in fetched.deliveries if each.clock.now() < each.due_at]
        if self._random.random() < LOST:
            self.lost += 1
            return  # killed with all it had
        self._settle(fetched.deliveries)

    def _settle(self, deliveries: list[Delivery]) -> None:
        """Settle until it is answered; what is answered again counts once."""
        while True:
            with suppress(MailboxUnavailable):
                held = self.mailbox.settle([settlement(each, SUCCEEDED) for each in deliveries])
                break
        with self._lock:
            self.settled.update(each.id for each, is_held in zip(deliveries, held, strict=True) if is_held)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "count"), [("valkey", 100_000), ("redis", 10_000)])
def test_i11_very_many_schedules_fire_once_each_while_workers_and_the_server_are_killed(
    kind: AnyKind, count: int, tmp_path: Path
) -> None:
    server = start_server(kind, tmp_path, "--appendfsync", "no")
    crowd = Crowd(server.url, "i11", count, seed=11)
    try:
        crowd.start()
        _publish_while_killing(server, crowd, count)
        server.kill()
        server.restart()
        crowd.join(240)
        state = queue_of(crowd.mailbox.info(), QUEUE)
        assert crowd.early == []
        assert (len(crowd.settled), set(crowd.settled.values())) == (count, {1})
        assert (state.accepted, state.succeeded, state.live) == (count, count, 0)
        assert crowd.lost > 0
        assert state.takeovers > 0
    finally:
        crowd._count = 0
        server.restart()
        crowd.mailbox.close()
        server.stop()


def _publish_while_killing(server: Server, crowd: Crowd, count: int) -> None:
    """All due within 10 seconds from when they are published; the server is killed twice meanwhile."""
    chance = random.Random(7)  # noqa: S311 - nor is when something is due
    for first in range(0, count, 1000):
        now = crowd.mailbox.info().at
        some = [
            posting(target(str(number)), due_at=now + chance.randint(1, 10_000))
            for number in range(first, first + 1000)
        ]
        crowd.mailbox.publish(some)
        if first in (count // 4 // 1000 * 1000, count // 2 // 1000 * 1000):
            server.kill()
            server.restart()
