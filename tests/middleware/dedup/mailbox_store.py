"""A mailbox seen as a dedup store: a claim is a publish and a fetch, a commit or release a settlement."""

from collections.abc import Iterator
from contextlib import contextmanager

from callboard.actors.mailbox.mailbox import Mailbox, Posting, Settlement, Target, Verdict
from callboard.messages.delivery import SUCCEEDED, Delivery, Outcome, OutcomeKind, Reason
from callboard.messages.errors import MailboxRefused, MailboxUnavailable, StoreRefused, StoreUnavailable
from callboard.middleware.dedup.store import Claim, ClaimVerdict

ACTOR = "actor"
WINDOW_MS = 24 * 3_600_000
RETRIED = Outcome(OutcomeKind.RETRIED)
DEAD = Outcome(OutcomeKind.DEAD, Reason.REJECTED)


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except MailboxUnavailable as error:
        raise StoreUnavailable(str(error)) from error
    except MailboxRefused as error:
        raise StoreRefused(str(error)) from error


class MailboxStore:
    """Each key has a queue of its own, so that a fetch is for that key alone."""

    def __init__(self, mailbox: Mailbox, window_ms: int = WINDOW_MS) -> None:
        self._mailbox = mailbox
        self._window_ms = window_ms
        self._held: dict[tuple[str, int], Delivery] = {}

    def claim(
        self, key: str, fingerprint: bytes, *, owner: str, lease_ms: int, charged: bool = True
    ) -> Claim:
        """See `DedupStore.claim`; a mailbox knows no owner that asks again, and by itself what to charge."""
        del charged
        with _named():
            verdict, fence = self._claim(key, fingerprint, owner, lease_ms)
        return Claim(
            key=key, verdict=verdict, owner=owner, lease_ms=lease_ms, fence=fence, wait_ms=int(fence == 0)
        )

    def renew(self, claim: Claim) -> bool:
        """See `DedupStore.renew`."""
        with _named():
            delivery = self._held.get((claim.key, claim.fence))
            return delivery is not None and not self._mailbox.renew([delivery], claim.lease_ms)

    def commit(self, claim: Claim, window_ms: int) -> bool:
        """See `DedupStore.commit`; a mailbox has one window for publishing and for completing."""
        assert window_ms == self._window_ms
        return self._settle(claim, SUCCEEDED)

    def release(self, claim: Claim, *, forget: bool = False) -> bool:
        """See `DedupStore.release`; what is poison has ended by itself."""
        if claim.verdict is ClaimVerdict.POISON:
            return True
        return self._settle(claim, DEAD if forget else RETRIED)

    def close(self) -> None:
        """See `DedupStore.close`."""
        self._mailbox.close()

    def _settle(self, claim: Claim, outcome: Outcome) -> bool:
        delivery = self._held[claim.key, claim.fence]
        with _named():
            return self._mailbox.settle([Settlement(delivery, outcome, self._window_ms)])[0]

    def _claim(self, key: str, fingerprint: bytes, owner: str, lease_ms: int) -> tuple[ClaimVerdict, int]:
        target = Target(ACTOR, key, key, self._window_ms)
        ((verdict,),) = self._mailbox.publish([Posting("event", b"{}", fingerprint, (target,))])
        if verdict is Verdict.CONFLICT:
            return ClaimVerdict.CONFLICT, 0
        for alone in (False, True):
            for delivery in self._mailbox.fetch(
                key, 1, owner=owner, lease_ms=lease_ms, alone=alone
            ).deliveries:
                self._held[key, delivery.fence] = delivery
                return ClaimVerdict.FRESH, delivery.fence
        return self._why_not(key), 0

    def _why_not(self, key: str) -> ClaimVerdict:
        if any(queue.queue == key and queue.leased for queue in self._mailbox.info().queues):
            return ClaimVerdict.IN_PROGRESS
        poisoned = any(record.reason is Reason.POISON for record in self._mailbox.ended(key))
        return ClaimVerdict.POISON if poisoned else ClaimVerdict.DONE
