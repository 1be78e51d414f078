"""Many processes that race for the same keys; run by a test, in a process that has no threads yet.

Each goes through all keys in an order of its own until every one is done. Whoever gets a key sometimes lets
it go again, and otherwise writes its effect and commits. Prints how each of them ended.
"""

import json
import os
import random
import sys
import traceback
from pathlib import Path

from callboard.middleware.dedup.redis import RedisDedupStore
from callboard.middleware.dedup.store import Claim, ClaimVerdict

NAMESPACE = "race"
LEASE_MS = 60_000
WINDOW_MS = 3_600_000


class Racer:
    """One of the processes."""

    def __init__(self, url: str, seed: int, effects: int) -> None:
        self._store = RedisDedupStore(url, NAMESPACE, socket_timeout=20)
        self._chance = random.Random(seed)  # noqa: S311 - an order, no secret
        self._effects = effects

    def run(self, keys: list[str]) -> None:
        """Go round until all keys are done."""
        while keys:
            self._chance.shuffle(keys)
            keys = [key for key in keys if not self._is_done(key)]

    def _is_done(self, key: str) -> bool:
        owner = f"{os.getpid()}:{self._chance.random()}"
        claim = self._store.claim(key, b"0123456789abcdef", owner=owner, lease_ms=LEASE_MS)
        if claim.verdict is ClaimVerdict.FRESH:
            return self._work(claim)
        assert claim.verdict in (ClaimVerdict.DONE, ClaimVerdict.IN_PROGRESS), claim
        return claim.verdict is ClaimVerdict.DONE

    def _work(self, claim: Claim) -> bool:
        if self._chance.random() < 0.1:
            assert self._store.release(claim)
            return False
        # One write to a file that is open for appending is whole, whoever else writes.
        os.write(self._effects, f"{claim.key} {claim.fence} {os.getpid()}\n".encode())
        assert self._store.commit(claim, WINDOW_MS)
        return True


def race(url: str, processes: int, keys: int, path: Path) -> list[int]:
    """Run the processes, all from the same moment on; how each ended."""
    effects = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    names = [f"key-{number}" for number in range(keys)]
    line, start = os.pipe()
    started = [_fork(Racer(url, seed, effects), names, line, start) for seed in range(processes)]
    os.close(start)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in started]


def _fork(racer: Racer, names: list[str], line: int, start: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(start)
        os.read(line, 1)  # until the last one has closed its end
        racer.run(list(names))
    except BaseException:  # noqa: BLE001 - a fork must not go on with what its parent does
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    address, count, of, where = sys.argv[1:]
    print(json.dumps(race(address, int(count), int(of), Path(where))))  # noqa: T201 - the test reads it
