"""A worker that was stopped past its lease can change nothing afterwards; one that lives keeps its key."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis

from callboard.middleware.dedup.redis import RedisDedupStore
from callboard.middleware.dedup.store import Claim, ClaimVerdict
from tests.middleware.dedup.attempts import attempt
from tests.middleware.dedup.stages import DAY, LONG
from tests.servers import Server

ROOT = Path(__file__).parents[3]
KEY = "handler:e-1"
LIVE = "callboard:{holder}:dedup:live:" + KEY
PATIENCE = 60.0


@contextmanager
def holder(url: str, lease: str, beside: str = "alone") -> "Iterator[subprocess.Popen[str]]":
    """A process whose handler runs now, on a namespace that nobody has used before."""
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter("callboard:{holder}:*"):
            client.delete(key)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.middleware.dedup.holder", url, lease, beside],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "holds\n"
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]") -> str:
    """What the attempt comes to when its handler ends."""
    return process.communicate("end\n", timeout=PATIENCE)[0].splitlines()[-1]


def claim(store: RedisDedupStore) -> Claim:
    return store.claim(KEY, attempt(None).delivery.fingerprint, owner="another", lease_ms=LONG)


def taken_over(store: RedisDedupStore) -> Claim:
    """The claim of another, as soon as the lease has run out."""
    deadline = time.monotonic() + PATIENCE
    while (made := claim(store)).verdict is ClaimVerdict.IN_PROGRESS:
        assert time.monotonic() < deadline
        time.sleep(made.wait_ms / 1000)
    assert made.verdict is ClaimVerdict.FRESH
    return made


def test_a_worker_that_was_stopped_past_its_lease_is_fenced_off(valkey: Server) -> None:
    with closing(RedisDedupStore(valkey.url, "holder")) as store, holder(valkey.url, "300ms") as process:
        process.send_signal(signal.SIGSTOP)
        taken = taken_over(store)
        assert taken.takeovers == 1
        assert store.commit(taken, DAY)
        process.send_signal(signal.SIGCONT)
        assert ended(process) == "released"
        assert claim(store).verdict is ClaimVerdict.DONE


@pytest.mark.parametrize(("beside", "takeovers"), [("alone", 1), ("others", 0)])
def test_a_worker_that_was_killed_leaves_its_key_to_the_next(
    valkey: Server, beside: str, takeovers: int
) -> None:
    with (
        closing(RedisDedupStore(valkey.url, "holder")) as store,
        holder(valkey.url, "300ms", beside) as process,
    ):
        process.kill()
        assert taken_over(store).takeovers == takeovers


def test_a_worker_that_lives_renews_its_lease_until_it_has_completed_the_key(valkey: Server) -> None:
    with closing(RedisDedupStore(valkey.url, "holder")) as store, holder(valkey.url, "2s") as process:
        with redis.Redis.from_url(valkey.url) as client:
            first = client.hget(LIVE, "until")
            deadline = time.monotonic() + PATIENCE
            while client.hget(LIVE, "until") == first:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert ended(process) == "succeeded"
        assert claim(store).verdict is ClaimVerdict.DONE
