"""Whatever is asked of them in whatever order, the stores on servers answer as the one in memory does."""

from collections.abc import Iterator

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from callboard.actors.mailbox.memory import VirtualClock
from callboard.middleware.dedup.memory import MemoryDedupStore
from callboard.middleware.dedup.redis import RedisDedupStore
from callboard.middleware.dedup.store import Claim, ClaimVerdict
from tests.middleware.dedup.conftest import namespace
from tests.middleware.dedup.stages import BODY, DAY, OTHER
from tests.servers import Server

MODEL_LEASE_MS = 1000
"""So short that all a test lets pass is less than what a repeated ending is answered for."""
LEASE_MS = 600_000
"""On the server, where a lease that shall end is ended by hand."""
WINDOW_MS = 366 * DAY

keys = st.sampled_from("aaab")
which = st.integers(0, 4)
"""Which claim, the latest first."""


class Stores(RuleBasedStateMachine):
    """The same steps in memory and on a server."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.name = namespace()
        self.clock = VirtualClock()
        self.model = MemoryDedupStore(clock=self.clock, takeover_limit=2)
        self.store = RedisDedupStore(self.url, self.name, takeover_limit=2)
        self.client = redis.Redis.from_url(self.url)
        self.claims: list[tuple[Claim, Claim]] = []
        self.completed: dict[str, int] = {}

    @rule(
        key=st.sampled_from("aaab"),
        body=st.sampled_from([BODY, BODY, OTHER]),
        owner=st.sampled_from("xyz"),
        charged=st.sampled_from([True, True, False]),
    )
    def claim(self, key: str, body: bytes, owner: str, charged: bool) -> None:
        model = self.model.claim(key, body, owner=owner, lease_ms=MODEL_LEASE_MS, charged=charged)
        made = self.store.claim(key, body, owner=owner, lease_ms=LEASE_MS, charged=charged)
        assert (made.verdict, made.fence) == (model.verdict, model.fence)
        if made.fence:
            assert made.takeovers == model.takeovers
            self.claims.append((model, made))
        assert made.verdict is not ClaimVerdict.FRESH or key not in self.completed

    @rule(position=which)
    def renew(self, position: int) -> None:
        for model, made in self.chosen(position):
            assert self.store.renew(made) == self.model.renew(model)

    @rule(position=which)
    def commit(self, position: int) -> None:
        for model, made in self.chosen(position):
            done = self.store.commit(made, WINDOW_MS)
            assert done == self.model.commit(model, WINDOW_MS)
            if done:
                # Invariant I3: whoever is told that it was completed is the same.
                assert self.completed.setdefault(made.key, made.fence) == made.fence

    @rule(position=which, forget=st.booleans())
    def release(self, position: int, forget: bool) -> None:
        for model, made in self.chosen(position):
            assert self.store.release(made, forget=forget) == self.model.release(model, forget=forget)

    @rule()
    def let_leases_run_out(self) -> None:
        self.clock.advance(MODEL_LEASE_MS)
        for key in self.client.scan_iter(f"callboard:{{{self.name}}}:dedup:live:*"):
            if self.client.hexists(key, "until"):
                self.client.hset(key, "until", "1")

    @invariant()
    def every_end_is_remembered(self) -> None:
        for key in getattr(self, "completed", {}):
            claim = self.store.claim(key, BODY, owner="asks", lease_ms=LEASE_MS)
            assert claim.verdict in (ClaimVerdict.DONE, ClaimVerdict.CONFLICT)

    def chosen(self, position: int) -> Iterator[tuple[Claim, Claim]]:
        """One of the claims that were answered, if there are any."""
        if position < len(self.claims):
            yield self.claims[-1 - position]

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.client.close()


@pytest.mark.parametrize("kind", ["valkey", "redis_server"])
def test_a_server_answers_as_memory_does(kind: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(kind)
    machine = type("ServedStores", (Stores,), {"url": server.url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
