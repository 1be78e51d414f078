"""What hooks send after a plain message is neither lost nor doubled, wherever the worker is cut off."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import dramatiq
import pytest

from callboard import Callboard
from callboard.actors.mailbox.mailbox import Fetched, Mailbox, Posting, Settlement, Target
from callboard.messages.delivery import Delivery, History, Outcome, OutcomeKind
from callboard.messages.errors import MailboxUnavailable
from tests.actors.houses import QUICK
from tests.actors.rehearsal import FaultyMailbox, is_at_rest, new_app, queue_of, until, work_off, working

Cut = Literal["before", "after"]
CUTS: tuple[Cut, ...] = ("before", "after")
"""Whether the server had done its work when the worker was cut off from it."""


class CutOff(FaultyMailbox):
    """A mailbox that a worker is cut off from at a settlement: once, or for good as if it were killed."""

    def __init__(self, mailbox: Mailbox, cut: Cut, *, for_good: bool) -> None:
        super().__init__(mailbox)
        self._cut = cut
        self._for_good = for_good
        self.was_cut = False
        self._one_at_a_time = threading.Lock()

    def _on(self, method: str) -> Mailbox:
        if self.was_cut and self._for_good:
            raise MailboxUnavailable("killed")
        return super()._on(method)

    def fetch(self, queue: str, limit: int, **how: Any) -> Fetched:
        with self._one_at_a_time:
            return super().fetch(queue, limit, **how)

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        # A killed worker fetches nothing of what its last settlement sent.
        with self._one_at_a_time:
            mailbox = self._on("settle")
            if self.was_cut:
                return mailbox.settle(settlements)
            if self._cut == "after":
                mailbox.settle(settlements)
            self.was_cut = True
            raise MailboxUnavailable("cut")


def work_off_cut_off(mailbox: Mailbox, cut: Cut, *, killed: bool, play: Callable[[Callboard], None]) -> None:
    """Let a worker be cut off at its first settlement; if it is killed, let another finish."""
    between = CutOff(mailbox, cut, for_good=killed)
    app = new_app(between, lease="300ms", grace="10ms")
    play(app)
    with working(app):
        until(lambda: between.was_cut, "the cut")
        if not killed:
            until(lambda: is_at_rest(app), "rest")
    if killed:
        other = new_app(mailbox, lease="300ms")
        play(other)
        work_off(other)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("cut", CUTS)
def test_a_retry_is_not_lost_and_not_doubled(mailbox: Mailbox, cut: Cut, killed: bool) -> None:
    attempts: list[int] = []

    def play(app: Callboard) -> None:
        @dramatiq.actor(broker=app.broker, max_retries=2, **QUICK)
        def fails() -> None:
            attempts.append(len(attempts))
            raise ValueError("no luck")

        if not app.mailbox.info().queues:
            fails.send()

    work_off_cut_off(mailbox, cut, killed=killed, play=play)
    # What was not written when the worker was killed is done again, and that is all.
    assert len(attempts) == 3 + (killed and cut == "before")
    queue = queue_of(new_app(mailbox))
    assert (queue.accepted, queue.retried, queue.dead, queue.succeeded) == (1, 2, 1, 0)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("cut", CUTS)
def test_the_next_step_of_a_pipeline_and_a_callback_go_out_once(
    mailbox: Mailbox, cut: Cut, killed: bool
) -> None:
    seen: list[str] = []

    def play(app: Callboard) -> None:
        @dramatiq.actor(broker=app.broker)
        def first() -> str:
            return "piped"

        @dramatiq.actor(broker=app.broker)
        def record(word: str = "") -> None:
            seen.append(word)

        @dramatiq.actor(broker=app.broker)
        def told(message: object, result: str) -> None:
            del message
            seen.append(f"told {result}")

        if not app.mailbox.info().queues:
            step = first.message_with_options(on_success="told")
            dramatiq.pipeline([step, record.message()], broker=app.broker).run()

    work_off_cut_off(mailbox, cut, killed=killed, play=play)
    assert sorted(seen) == ["piped", "told piped"]


def test_a_retry_is_one_step_of_the_mailbox() -> None:
    app = new_app(mailbox := FaultyMailbox(new_app().mailbox))

    @dramatiq.actor(broker=app.broker, max_retries=3, **QUICK)
    def fails() -> None:
        raise ValueError("no luck")

    fails.send()
    work_off(app)
    assert mailbox.calls.count("publish") == 1
    assert mailbox.calls.count("settle") == 4


def test_a_callback_of_a_failure_that_could_not_be_sent_is_sent_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dramatiq.worker.POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.01)
    app = new_app(mailbox := FaultyMailbox(new_app().mailbox))
    attempts: list[int] = []
    told: list[str] = []

    @dramatiq.actor(broker=app.broker)
    def failed(message: object, error: dict[str, str]) -> None:
        del message
        told.append(error["message"])

    @dramatiq.actor(broker=app.broker, max_retries=1, on_failure="failed", **QUICK)
    def fails() -> None:
        attempts.append(len(attempts))
        mailbox.fail("publish", MailboxUnavailable("gone"), times=2)
        raise ValueError(f"failure {len(attempts)}")

    fails.send()
    work_off(app)
    assert (len(attempts), told) == (2, ["failure 1", "failure 2"])


def test_a_hook_that_sends_a_failed_message_elsewhere_sends_it(mailbox: Mailbox) -> None:
    class Elsewhere(dramatiq.Middleware):
        """Hands what failed to another actor, under the same id."""

        def after_process_message(
            self, broker: dramatiq.Broker, message: Any, *, result: Any = None, exception: Any = None
        ) -> None:
            del result
            if exception is not None:
                broker.enqueue(message.copy(actor_name="other"))

    app = new_app(mailbox, middleware=[Elsewhere()])
    seen: list[int] = []

    @dramatiq.actor(broker=app.broker)
    def other(number: int) -> None:
        seen.append(number)

    @dramatiq.actor(broker=app.broker)
    def fails(number: int) -> None:
        raise ValueError("no luck")

    fails.send(7)
    work_off(app)
    assert seen == [7]
    assert queue_of(app).accepted == 2


def test_a_message_that_repeats_itself_after_its_success_is_a_new_delivery(mailbox: Mailbox) -> None:
    class Repeats(dramatiq.Middleware):
        """Has each message done three times."""

        def after_process_message(
            self, broker: dramatiq.Broker, message: Any, *, result: Any = None, exception: Any = None
        ) -> None:
            del result, exception
            if len(seen) < 3:
                broker.enqueue(message, delay=1)

    app = new_app(mailbox, middleware=[Repeats()])
    seen: list[int] = []

    @dramatiq.actor(broker=app.broker)
    def works(number: int) -> None:
        seen.append(number)

    works.send(7)
    work_off(app)
    assert seen == [7, 7, 7]
    assert (queue_of(app).accepted, queue_of(app).succeeded, queue_of(app).retried) == (3, 3, 0)


def test_a_hook_that_has_it_both_sent_again_and_rejected_gets_both(mailbox: Mailbox) -> None:
    class Rejects(dramatiq.Middleware):
        """Rejects what the retries before it sent again, the first time."""

        def after_process_message(
            self, broker: dramatiq.Broker, message: Any, *, result: Any = None, exception: Any = None
        ) -> None:
            del broker, result
            if exception is not None and len(attempts) == 1:
                message.fail()

    app = new_app(mailbox, middleware=[Rejects(), dramatiq.middleware.Retries()])
    attempts: list[int] = []

    @dramatiq.actor(broker=app.broker, max_retries=1, **QUICK)
    def fails() -> None:
        attempts.append(len(attempts))
        raise ValueError("no luck")

    fails.send()
    work_off(app)
    assert (len(attempts), queue_of(app).dead) == (2, 2)


def test_what_an_attempt_leaves_to_the_next_outlives_a_crash(mailbox: Mailbox) -> None:
    carried = bytes(range(256))

    def take(*, alone: bool) -> Delivery:
        taken: list[Delivery] = []

        def look() -> bool:
            taken.extend(mailbox.fetch("q", 1, owner="w", lease_ms=1, alone=alone).deliveries)
            return bool(taken)

        until(look, "the delivery")
        return taken[0]

    mailbox.publish([Posting("x", b"{}", b"0" * 16, (Target("actor", "q", "k", 0),))])
    mailbox.settle(
        [Settlement(take(alone=False), Outcome(OutcomeKind.RETRIED), history=History(1, 0, carried=carried))]
    )
    take(alone=False)
    take(alone=True)
    again = take(alone=True)
    assert again.history == History(2, 1, carried=carried)
    assert "carried" not in repr(again.history)
