"""A process that runs one attempt with a store; run by a test, which stops it in the middle.

Says `holds` when its handler runs, ends it when a line comes in, and says what the attempt came to.
"""

import sys

from callboard.middleware.dedup.layer import Deduplicate
from callboard.middleware.dedup.option import Dedup
from callboard.middleware.dedup.redis import RedisDedupStore
from tests.middleware.dedup.attempts import attempt, perform


def hold(url: str, lease: str, beside: str) -> str:
    """Run the attempt, `beside` others or `alone`; its outcome."""

    def handler(_: object) -> None:
        print("holds", flush=True)  # noqa: T201 - the test reads it
        sys.stdin.readline()

    said = Dedup(store=RedisDedupStore(url, "holder"), lease=lease)
    made = attempt(said)
    made.delivery.alone = beside == "alone"
    return perform(Deduplicate(), made, handler).kind.value


if __name__ == "__main__":
    print(hold(*sys.argv[1:]), flush=True)  # noqa: T201 - as above
