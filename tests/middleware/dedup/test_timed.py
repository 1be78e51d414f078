"""Where metrics are on, what a dedup store answers is counted, and how long it takes is measured."""

import pytest

from callboard.messages.errors import StoreUnavailable
from callboard.middleware.dedup.layer import Deduplicate
from callboard.middleware.dedup.memory import MemoryDedupStore
from callboard.middleware.dedup.option import Dedup
from callboard.middleware.dedup.store import Claim
from callboard.middleware.dedup.timed import TimedStore
from callboard.observability.metrics import CLAIMS, STORE_ERRORS, STORE_SECONDS
from callboard.observability.recorder import Recorder
from tests.middleware.dedup.attempts import attempt, perform

NAME = "MemoryDedupStore"
BODY = b"0" * 16


class Away(MemoryDedupStore):
    """A store that cannot be reached."""

    def renew(self, claim: Claim) -> bool:
        raise StoreUnavailable("it is away")


def ask(store: TimedStore, owner: str, body: bytes = BODY) -> Claim:
    return store.claim("key", body, owner=owner, lease_ms=30_000)


def test_verdicts_are_counted_and_every_call_is_timed() -> None:
    recorder = Recorder()
    store = TimedStore(MemoryDedupStore(), recorder)
    claim = ask(store, "a")
    assert ask(store, "b").verdict == "in_progress"
    assert store.renew(claim)
    assert store.release(claim)
    assert store.commit(ask(store, "c"), 60_000)
    assert ask(store, "d").verdict == "done"
    assert ask(store, "e", b"1" * 16).verdict == "conflict"
    seen = recorder.cells.total()
    assert seen.counters[CLAIMS.name] == {
        (NAME, "fresh"): 2,
        (NAME, "in_progress"): 1,
        (NAME, "done"): 1,
        (NAME, "conflict"): 1,
    }
    calls = {labels: sum(tally.counts) for labels, tally in seen.histograms[STORE_SECONDS.name].items()}
    assert calls == {(NAME, "claim"): 5, (NAME, "renew"): 1, (NAME, "release"): 1, (NAME, "commit"): 1}
    assert STORE_ERRORS.name not in seen.counters


def test_a_call_that_fails_is_counted_as_one_and_still_fails() -> None:
    recorder = Recorder()
    store = TimedStore(Away(), recorder)
    with pytest.raises(StoreUnavailable):
        store.renew(ask(store, "a"))
    assert recorder.cells.total().counters[STORE_ERRORS.name] == {("Away", "renew", "StoreUnavailable"): 1}


def test_closing_closes_the_store() -> None:
    inner = MemoryDedupStore()
    TimedStore(inner, Recorder()).close()
    with pytest.raises(StoreUnavailable):
        inner.claim("key", BODY, owner="a", lease_ms=1000)


def test_the_layer_counts_where_it_was_given_a_recorder() -> None:
    recorder, said = Recorder(), Dedup(store=MemoryDedupStore())
    layer = Deduplicate(recorder)
    for _ in range(2):
        perform(layer, attempt(said))
    layer.close(1)
    assert recorder.cells.total().counters[CLAIMS.name] == {(NAME, "fresh"): 1, (NAME, "done"): 1}
