"""What the state machine knows of ordered lanes by itself: who came when, and so who may be handed out."""

from collections.abc import Container, Sequence

from callboard.actors.mailbox.mailbox import Posting, Settlement, Verdict
from callboard.messages.delivery import Delivery, OutcomeKind


class LaneWatch:
    """What each ordered lane holds in the order of publishing; its first is the only one to be handed out."""

    def __init__(self) -> None:
        self._lanes: dict[str, list[str]] = {}
        self._lane_of: dict[str, str] = {}

    def published(self, some: Sequence[Posting], verdicts: Sequence[Sequence[Verdict]]) -> None:
        """Note what joins a lane; of what waits until it is due, nothing is due while a test runs."""
        for each, given in zip(some, verdicts, strict=True):
            for whom, verdict in zip(each.targets, given, strict=True):
                if verdict is Verdict.ACCEPTED and whom.lane and not each.delay_ms:
                    self._lane_of[whom.identity] = whom.lane
                    self._lanes.setdefault(whom.lane, []).append(whom.identity)

    def replayed(self, identity: str, lane: str) -> None:
        """Note what joins its lane again."""
        if lane:
            self._lane_of[identity] = lane
            self._lanes.setdefault(lane, []).append(identity)

    def fetched(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing goes before what came first."""
        for each in deliveries:
            lane = self._lane_of.get(each.id)
            assert lane is None or self._lanes[lane][0] == each.id

    def moved(self, identity: str, *, comes_back: bool, keeps: bool) -> None:
        """What was not tried yet leaves its lane; it joins again, as the last, where it is due at once."""
        lane = self._lane_of.get(identity)
        if lane is None or keeps:
            return
        self._lanes[lane].remove(identity)
        del self._lane_of[identity]
        if comes_back:
            self._lane_of[identity] = lane
            self._lanes[lane].append(identity)

    def forget_all_but(self, live: Container[str]) -> None:
        """Whatever has ended, however it did, gives its place to the next."""
        for identity in [each for each in self._lane_of if each not in live]:
            self._end(identity)

    def ended_by(self, done: Settlement) -> None:
        """Note it at once, for what the same call publishes may be of the same identity."""
        if done.outcome.kind not in (OutcomeKind.RETRIED, OutcomeKind.RELEASED):
            self._end(done.delivery.id)

    def _end(self, identity: str) -> None:
        if lane := self._lane_of.pop(identity, None):
            self._lanes[lane].remove(identity)
