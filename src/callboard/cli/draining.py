"""Waiting until nothing of some queues is at work any more, or nothing is left to do."""

import time
from collections.abc import Callable, Sequence

from ..actors.hunt import NOT_NOW
from ..actors.mailbox.infos import QueueInfo
from ..actors.mailbox.mailbox import Mailbox

LOOK_SECONDS = 0.2
"""How often it is looked."""


def left_in(queue: QueueInfo, *, empty: bool) -> int:
    """What is waited for: deliveries that are leased, or with `empty` all that is not scheduled."""
    return queue.live - queue.scheduled if empty else queue.leased


def states(mailbox: Mailbox, names: Sequence[str]) -> list[QueueInfo]:
    """The queues of these names as they stand, in this order."""
    known = {queue.queue: queue for queue in mailbox.info().queues}
    return [known.get(name, QueueInfo(name)) for name in names]


def drained(
    mailbox: Mailbox,
    names: Sequence[str],
    *,
    empty: bool,
    seconds: float,
    show: Callable[[int], None] = lambda _: None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Wait for at most `seconds` until nothing is left; whether it came to that.

    `show` is told how much is left whenever it was looked.
    """
    give_up_at = clock() + seconds
    while left := look(mailbox, names, empty=empty):
        show(left)
        if clock() >= give_up_at:
            return False
        sleep(min(LOOK_SECONDS, max(0.0, give_up_at - clock())))
    return True


def look(mailbox: Mailbox, names: Sequence[str], *, empty: bool) -> int:
    """How much is left now."""
    for name in names:
        # A fetch of none takes back the leases of workers that are gone: nobody else may be there to do it.
        mailbox.fetch(name, 0, owner="drain", lease_ms=1000, suspects=NOT_NOW)
    return sum(left_in(queue, empty=empty) for queue in states(mailbox, names))
