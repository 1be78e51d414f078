"""What workers say they are at is kept for a few seconds, in every mailbox."""

import pytest

from callboard.actors.mailbox.running import LASTS_MS, RunningAttempt
from callboard.messages.errors import MailboxUnavailable
from callboard.messages.items import ItemCounts
from tests.actors.mailbox.conformance import Stage, VirtualStage

LONG = RunningAttempt(
    "receipt:A-1", "orders", 2, "Thread-1", 1500, 5000, "order.placed", items=ItemCounts(3, 1, 0, 6)
)
STUCK = RunningAttempt("audit:A-1", "orders", 1, "callboard-loop", 9000, stuck=True, together=7)


def test_what_workers_tell_is_told_again_by_their_names(stage: Stage) -> None:
    for owner in ("b:2:x", "a:1:x"):
        stage.mailbox.heartbeat(owner)
    stage.mailbox.running.tell("b:2:x", [STUCK])
    stage.mailbox.running.tell("a:1:x", [LONG, STUCK], more=5)
    one, other = stage.mailbox.running.reports()
    assert (one.owner, one.attempts, one.more) == ("a:1:x", (LONG, STUCK), 5)
    assert (other.owner, other.attempts, other.more) == ("b:2:x", (STUCK,), 0)
    assert 0 <= one.ago_ms <= other.ago_ms < 1000


def test_a_worker_that_tells_anew_replaces_what_it_told(stage: Stage) -> None:
    stage.mailbox.heartbeat("a:1:x")
    stage.mailbox.running.tell("a:1:x", [LONG])
    stage.mailbox.running.tell("a:1:x", [STUCK])
    (report,) = stage.mailbox.running.reports()
    assert report.attempts == (STUCK,)
    stage.mailbox.running.tell("a:1:x", [])
    stage.mailbox.running.tell("a:1:x", [])
    assert stage.mailbox.running.reports() == ()


def test_nobody_is_at_anything_before_it_is_told(stage: Stage) -> None:
    assert stage.mailbox.running.reports() == ()
    stage.mailbox.heartbeat("a:1:x")
    assert stage.mailbox.running.reports() == ()


def test_what_was_told_gets_older_and_is_forgotten(virtual_stage: VirtualStage) -> None:
    virtual_stage.mailbox.heartbeat("a:1:x")
    virtual_stage.mailbox.running.tell("a:1:x", [LONG])
    virtual_stage.let_pass(LASTS_MS - 1)
    (report,) = virtual_stage.mailbox.running.reports()
    assert report.ago_ms == LASTS_MS - 1
    virtual_stage.let_pass(1)
    assert virtual_stage.mailbox.running.reports() == ()


def test_what_was_told_is_forgotten_in_real_time_too(
    live_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("memory", "redis"):
        monkeypatch.setattr(f"callboard.actors.mailbox.{kind}.running.LASTS_MS", 60)
    live_stage.mailbox.heartbeat("a:1:x")
    live_stage.mailbox.running.tell("a:1:x", [LONG])
    live_stage.let_pass(70)
    for _ in live_stage.patience():
        if not live_stage.mailbox.running.reports():
            return
    pytest.fail("it is still told")


def test_a_workspace_tells_of_its_own_workers_alone(stage: Stage) -> None:
    other = stage.elsewhere()
    for mailbox in (stage.mailbox, other):
        mailbox.heartbeat("a:1:x")
    stage.mailbox.running.tell("a:1:x", [LONG])
    assert other.running.reports() == ()
    other.close()


def test_a_closed_mailbox_is_told_nothing(stage: Stage) -> None:
    stage.mailbox.close()
    with pytest.raises(MailboxUnavailable):
        stage.mailbox.running.tell("a:1:x", [LONG])
    with pytest.raises(MailboxUnavailable):
        stage.mailbox.running.reports()
