"""What becomes of a plain message on Callboard's broker is recorded, with its reason and its error."""

from typing import Any

import dramatiq
import pytest
from dramatiq.middleware import SkipMessage

from callboard import Callboard, Discard, Retry
from callboard.actors.mailbox.mailbox import Posting, Target
from callboard.messages.delivery import OutcomeKind, Reason
from tests.actors.rehearsal import FaultyMailbox, new_app, queue_of, recorder, work_off


def test_an_actor_that_fails_is_retried_by_dramatiqs_middleware_and_then_dead(app: Callboard) -> None:
    starts: list[int] = []

    @dramatiq.actor(broker=app.broker, max_retries=2, min_backoff=1, max_backoff=2)
    def fails() -> None:
        starts.append(1)
        raise ValueError("no luck")

    fails.send()
    work_off(app)
    assert len(starts) == 3
    (record,) = app.mailbox.ended("default")
    assert (record.kind, record.reason) == (OutcomeKind.DEAD, Reason.MAX_ATTEMPTS)
    queue = queue_of(app)
    assert (queue.accepted, queue.retried, queue.succeeded, queue.dead) == (1, 2, 0, 1)
    assert record.history.attempts == 3


def test_a_message_that_is_dead_keeps_its_error_and_its_bytes(app: Callboard) -> None:
    @dramatiq.actor(broker=app.broker, max_retries=0)
    def fails(what: str) -> None:
        raise ValueError("no luck")

    fails.send("argument")
    work_off(app)
    (record,) = app.mailbox.ended("default")
    assert b'"argument"' in record.stored


def test_the_record_of_a_dead_message_tells_its_error(memory_app: Callboard) -> None:
    @dramatiq.actor(broker=memory_app.broker, max_retries=0)
    def fails() -> None:
        raise ValueError("no luck")

    fails.send()
    work_off(memory_app)
    (record,) = memory_app.mailbox.ended("default")
    assert record.history.last_error is not None
    assert (record.history.last_error.type, record.history.last_error.message) == ("ValueError", "no luck")


def test_an_expected_exception_goes_to_the_dead_at_once(app: Callboard) -> None:
    starts: list[int] = []

    @dramatiq.actor(broker=app.broker, throws=(KeyError,))
    def fails() -> None:
        starts.append(1)
        raise KeyError("expected")

    fails.send()
    work_off(app)
    assert len(starts) == 1
    (record,) = app.mailbox.ended("default")
    assert (record.kind, record.reason) == (OutcomeKind.DEAD, Reason.REJECTED)


def test_a_message_that_is_too_old_is_dead_and_the_record_says_so(app: Callboard) -> None:
    record, seen = recorder(app)
    record.send_with_options(max_age=-1)
    work_off(app)
    (dead,) = app.mailbox.ended("default")
    assert (seen, dead.kind, dead.reason) == ([], OutcomeKind.DEAD, Reason.MAX_AGE)
    assert dead.history.attempts == 0


def test_a_message_that_a_middleware_skips_is_discarded(app: Callboard) -> None:
    class Skips(dramatiq.Middleware):
        """Will not have any message, and does not mind."""

        def before_process_message(self, broker: dramatiq.Broker, message: object) -> None:
            raise SkipMessage("not wanted")

    app.broker.add_middleware(Skips())
    record, seen = recorder(app)
    record.send()
    work_off(app)
    (gone,) = app.mailbox.ended("default")
    assert (seen, gone.kind, gone.reason) == ([], OutcomeKind.DISCARDED, Reason.REJECTED)


def test_what_the_stack_makes_of_a_plain_actor_is_settled_in_one_step() -> None:
    app = new_app(mailbox := FaultyMailbox(new_app().mailbox))
    attempts: list[object] = []

    @dramatiq.actor(broker=app.broker, retry=Retry.every("5ms", max_attempts=3))
    def fails() -> None:
        attempts.append(1)
        raise ValueError("no luck")

    fails.send()
    work_off(app)
    queue = queue_of(app)
    assert (len(attempts), queue.accepted, queue.retried, queue.dead) == (3, 1, 2, 1)
    (dead,) = app.mailbox.ended("default")
    assert (dead.reason, dead.history.attempts) == (Reason.MAX_ATTEMPTS, 3)
    assert mailbox.calls.count("publish") == 1


def test_what_the_stack_discards_of_a_plain_actor_has_its_reason(app: Callboard) -> None:
    seen: list[object] = []

    @dramatiq.actor(broker=app.broker, discard=Discard(max_age="1ms", include_delay=True))
    def record() -> None:
        seen.append(1)

    record.send_with_options(delay=20)
    work_off(app)
    (gone,) = app.mailbox.ended("default")
    assert (seen, gone.kind, gone.reason) == ([], OutcomeKind.DISCARDED, Reason.MAX_AGE)


@pytest.mark.usefixtures("impatient")
def test_a_message_for_an_unknown_actor_is_dead_and_its_neighbours_are_processed(app: Callboard) -> None:
    record, seen = recorder(app)
    stranger: dramatiq.Message[Any] = dramatiq.Message(
        queue_name="default", actor_name="stranger", args=("x",), kwargs={}, options={}
    )
    record.send(1)
    app.broker.enqueue(stranger)
    record.send(2)
    work_off(app)
    assert sorted(args[0] for args, _ in seen) == [1, 2]
    (dead,) = app.mailbox.ended("default")
    assert dead.reason is Reason.UNKNOWN_ACTOR
    assert dead.stored.endswith(stranger.encode())


def test_bytes_that_are_no_message_are_dead_and_their_neighbours_are_processed(app: Callboard) -> None:
    record, seen = recorder(app)
    record.send(1)
    app.mailbox.publish([Posting("x", b"{no message", b"0" * 16, (Target("record", "default", "k", 0),))])
    record.send(2)
    work_off(app)
    assert sorted(args[0] for args, _ in seen) == [1, 2]
    (dead,) = app.mailbox.ended("default")
    assert (dead.reason, dead.stored[-11:]) == (Reason.INVALID_BODY, b"{no message")


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"queue_name": "default"}', b"7"])
def test_json_that_is_no_message_is_dead_too(memory_app: Callboard, body: bytes) -> None:
    record, seen = recorder(memory_app)
    target = Target("record", "default", "k", 0)
    memory_app.mailbox.publish([Posting("x", body, b"0" * 16, (target,))])
    record.send(1)
    work_off(memory_app)
    assert len(seen) == 1
    assert [dead.reason for dead in memory_app.mailbox.ended("default")] == [Reason.INVALID_BODY]
