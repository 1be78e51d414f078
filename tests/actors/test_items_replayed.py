"""An event of many items dies and is replayed: what succeeded is not done again, what was given up is."""

import pytest

from callboard import Callboard, Context, PartialFailure, RejectItem, Retry
from callboard.actors.mailbox.records import EndedRecord, Redress, Replay
from callboard.messages.delivery import OutcomeKind
from callboard.testing import Stage
from tests.actors.catalog import CatalogChanged, Declare, Partner, both, seen_of, skus, states, syncing
from tests.actors.rehearsal import AT_ONCE, new_app, work_off


def replay(app: Callboard, run: str, to: str = "sync") -> EndedRecord:
    """Make the latest dead letter live again; its record as it was."""
    letter = app.mailbox.ended("default")[0]
    key = letter.delivery.partition(":")[2]
    redress = app.mailbox.records.replay([Replay(letter.id, f"{to}:{key}", letter.queue, 1)], run)
    assert redress == [Redress.DONE]
    return letter


@both
def test_after_a_replay_only_what_was_not_done_is_done(app: Callboard, declare: Declare) -> None:
    partner = Partner("sku-3", "sku-7")
    declare(app, partner, retry=AT_ONCE)
    app.publish(CatalogChanged(skus(10)))
    work_off(app)
    assert partner.take_calls() == [*skus(10), *["sku-3", "sku-7"] * 2]
    partner.failing.clear()
    letter = replay(app, "mended")
    work_off(app)
    assert partner.take_calls() == ["sku-3", "sku-7"]
    found = app.mailbox.records.find(letter.delivery)[0]
    assert [each.kind for each in found.ended] == [OutcomeKind.SUCCEEDED, OutcomeKind.DEAD]
    success, dead = found.ended
    assert (dead.history.attempts, success.history.attempts) == (3, 1)
    items = app.mailbox.ledger.of_ended(success.id)
    assert states(items) == dict.fromkeys(skus(10), "succeeded")
    assert {each.key: each.attempts for each in items} == dict.fromkeys(skus(10), 1) | {
        "sku-3": 4,
        "sku-7": 4,
    }


@both
def test_what_was_given_up_is_tried_again_after_a_replay_and_given_up_anew(
    app: Callboard, declare: Declare
) -> None:
    partner = Partner("sku-1", "sku-2", error=RejectItem)
    declare(app, partner, retry=AT_ONCE)
    app.publish(CatalogChanged(skus(4)))
    work_off(app)
    assert partner.take_calls() == skus(4)
    partner.failing = {"sku-2"}
    replay(app, "first")
    work_off(app)
    assert partner.take_calls() == ["sku-1", "sku-2"]
    latest = app.mailbox.ended("default")[0]
    assert (latest.reason, latest.history.attempts, latest.history.replays) == ("rejected", 1, 1)
    partner.failing.clear()
    replay(app, "second")
    work_off(app)
    assert partner.take_calls() == ["sku-2"]


def test_the_next_attempt_after_a_replay_leaves_out_what_that_one_gave_up() -> None:
    app, calls = new_app(), list[tuple[str, int]]()

    @app.actor(name="sync", retry=Retry.every("1m", max_attempts=2))
    def sync(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                calls.append(seen_of(item))
                raise RejectItem("no") if item.value == "sku-0" else ConnectionError("no answer")

    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(2)))
        stage.advance("10m")
        assert calls == [("sku-0", 1), ("sku-1", 1), ("sku-1", 2)]
        calls.clear()
        replay(app, "mended")
        stage.advance("10m")
        assert calls == [("sku-0", 2), ("sku-1", 3), ("sku-1", 4)]
        assert stage.outcomes() == ["retried", "dead", "retried", "dead"]


def test_another_actor_begins_with_all_items(app: Callboard) -> None:
    partner, other = Partner("sku-1"), list[str]()
    syncing(app, partner, retry=Retry.never())
    app.publish(CatalogChanged(skus(2)))
    work_off(app)

    @app.actor
    def audit(event: CatalogChanged, ctx: Context) -> None:
        for item in ctx.items(event.skus):
            with item:
                other.append(item.value)

    letter = replay(app, "mended", to="audit")
    work_off(app)
    assert other == skus(2)
    assert states(app.mailbox.ledger.of_ended(letter.id)) == {"sku-0": "succeeded", "sku-1": "failed"}


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_is_lost_after_a_replay_takes_nothing_along(times: int) -> None:
    app, partner = new_app(), Partner("sku-1", error=RejectItem)
    syncing(app, partner)
    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(3)))
        stage.run()
        partner.take_calls()
        partner.failing.clear()
        replay(app, "mended")
        stage.crash("sync", times=times)
        stage.advance("10m")
        assert set(partner.take_calls()) == {"sku-1"}
