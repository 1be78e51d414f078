"""Dead letters by the thousand, for tests and benchmarks of what an operator does with them."""

from callboard.actors.mailbox.mailbox import Mailbox, Posting, Settlement, Target
from callboard.actors.mailbox.records import Facts
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.messages.delivery import Delivery, ErrorRecord, History, Outcome, OutcomeKind, Reason

DAY = 24 * 3_600_000
A_TIME = 1000


def bury(mailbox: Mailbox, count: int) -> None:
    """So many dead letters of two kinds, half of them a `KeyError`; `count` in thousands."""
    mailbox.register([Subscription("pay", "orders", {"order.placed": DAY})])
    for first in range(0, count, A_TIME):
        mailbox.publish([_posting(number) for number in range(first, first + A_TIME)])
        taken = mailbox.fetch("orders", A_TIME, owner="w", lease_ms=600_000).deliveries
        mailbox.settle([_death(number, each) for number, each in enumerate(taken)])


def _posting(number: int) -> Posting:
    body, to = b'{"n":%d}' % number + b"x" * 200, Target("pay", "orders", f"event-{number}", DAY)
    return Posting("order.placed", body, b"%016x" % number, (to,), fresh=True)


def _death(number: int, delivery: Delivery) -> Settlement:
    kind, origin = ("IOError", "b") if number % 2 else ("KeyError", "a")
    error = ErrorRecord(kind, "no", 1, origin * 12)
    return Settlement(
        delivery,
        Outcome(OutcomeKind.DEAD, Reason.MAX_ATTEMPTS),
        history=History(1, first_error=error, last_error=error),
        facts=Facts(f"event-{number}", "order.placed", 1),
    )
