"""A handler that works through items: each has a status of its own, and only the unfinished come again."""

from datetime import timedelta

import pytest

from callboard import (
    PartialFailure,
    RejectItem,
    Retry,
    SkipItem,
)
from callboard.messages.items import ItemCounts
from callboard.testing import Stage
from tests.actors.catalog import CatalogChanged, Declare, Partner, both, skus, states, syncing
from tests.actors.rehearsal import new_app


@both
@pytest.mark.parametrize("durable", [False, True])
def test_a_failed_item_fails_the_attempt_and_only_it_comes_again(declare: Declare, durable: bool) -> None:
    app, partner = new_app(), Partner("sku-2", "sku-4")
    declare(app, partner, durable=durable)
    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(6)))
        stage.run()
        assert partner.take_calls() == skus(6)
        (first,) = stage.attempts
        assert (first.outcome, first.retry_in) == ("retried", timedelta(minutes=1))
        assert first.item_counts == ItemCounts(succeeded=4, failed=2)
        assert [key for key, status in states(first.items).items() if status == "failed"] == [
            "sku-2",
            "sku-4",
        ]

        partner.failing = {"sku-4"}
        stage.advance("1m")
        assert partner.take_calls() == ["sku-2", "sku-4"]
        assert stage.attempts[-1].item_counts == ItemCounts(succeeded=1, failed=1, skipped=4)

        partner.failing.clear()
        stage.advance("1m")
        assert partner.take_calls() == ["sku-4"]
        assert stage.outcomes() == ["retried", "retried", "succeeded"]
        assert stage.attempts[-1].item_counts == ItemCounts(succeeded=1, skipped=5)


@both
def test_items_that_all_succeed_are_a_success(declare: Declare) -> None:
    app, partner = new_app(), Partner()
    declare(app, partner)
    with Stage(app) as stage:
        app.publish(CatalogChanged(skus(3)))
        app.publish(CatalogChanged([]))
        stage.run()
        assert stage.outcomes() == ["succeeded", "succeeded"]
        assert [each.item_counts for each in stage.attempts] == [ItemCounts(succeeded=3), ItemCounts()]


def test_a_record_tells_status_error_tries_and_times() -> None:
    app, partner = new_app(), Partner("sku-1")
    syncing(app, partner)
    with Stage(app, expect=PartialFailure) as stage:
        began = stage.now
        app.publish(CatalogChanged(skus(2)))
        stage.advance("1m")
        (_, again) = stage.attempts
        (record,) = again.items
        assert (record.key, record.status, record.attempts) == ("sku-1", "failed", 2)
        assert record.started_at == record.ended_at == round(began.timestamp() * 1000) + 60_000
        assert record.error is not None
        assert (record.error.type, record.error.message) == ("ConnectionError", "sku-1 was refused")
        assert not record.rejected


def test_the_attempt_fails_with_counts_and_keys_and_the_record_shows_it() -> None:
    app, partner = new_app(), Partner("sku-1")
    syncing(app, partner, retry=Retry.never())
    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(3)))
        stage.run()
        (attempt,) = stage.attempts
        assert isinstance(attempt.error, PartialFailure)
        assert attempt.error.counts == ItemCounts(succeeded=2, failed=1)
        assert attempt.error.failed == ("sku-1",)
        assert isinstance(attempt.error.__cause__, ConnectionError)
        (dead,) = stage.dead
        assert dead.reason == "max_attempts"
        assert dead.error is not None
        assert dead.error.type == "PartialFailure"
        assert dead.error.message == "1 item failed: sku-1 (ConnectionError); 2 succeeded, 0 skipped"
        assert states(dead.items) == {"sku-0": "succeeded", "sku-1": "failed", "sku-2": "succeeded"}


def test_a_stage_raises_a_partial_failure_that_no_test_expected() -> None:
    app = new_app()
    syncing(app, Partner("sku-1"))
    with Stage(app) as stage:
        app.publish(CatalogChanged(skus(3)))
        with pytest.raises(PartialFailure, match="1 item failed: sku-1") as raised:
            stage.run()
        assert isinstance(raised.value.__cause__, ConnectionError)


# Items given up, and items of which nothing is wanted.


@both
def test_a_rejected_item_is_not_tried_again_and_at_the_end_the_delivery_is_dead(declare: Declare) -> None:
    app = new_app()
    partner = Partner("sku-1", "sku-2", error=RejectItem)
    declare(app, partner)
    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(4)))
        stage.run()
        assert stage.outcomes() == ["dead"]
        (dead,) = stage.dead
        assert (dead.reason, dead.attempts) == ("rejected", 1)
        assert [item.key for item in dead.items if item.rejected] == ["sku-1", "sku-2"]
        assert states(dead.items)["sku-1"] == "failed"


def test_while_others_are_tried_again_a_rejected_item_waits_for_them() -> None:
    app = new_app()
    errors: dict[str, Exception] = {"sku-1": RejectItem("no such article"), "sku-2": ConnectionError("busy")}
    partner = Partner("sku-1", "sku-2", error=lambda words: errors[words.split(maxsplit=1)[0]])
    syncing(app, partner)
    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(4)))
        stage.run()
        partner.take_calls()
        partner.failing = set()
        stage.advance("1m")
        assert partner.take_calls() == ["sku-2"]
        assert stage.outcomes() == ["retried", "dead"]
        (dead,) = stage.dead
        assert (dead.reason, dead.attempts) == ("rejected", 2)
        assert dead.error is not None
        assert dead.error.message == "1 item failed: sku-1 (RejectItem); 1 succeeded, 3 skipped"


def test_a_skipped_item_has_not_failed_and_does_not_come_again() -> None:
    app = new_app()
    errors: dict[str, Exception] = {"sku-1": SkipItem("retired"), "sku-2": ConnectionError("busy")}
    partner = Partner("sku-1", "sku-2", error=lambda words: errors[words.split(maxsplit=1)[0]])
    syncing(app, partner)
    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(3)))
        stage.run()
        assert stage.attempts[0].item_counts == ItemCounts(succeeded=1, failed=1, skipped=1)
        partner.take_calls()
        partner.failing = set()
        stage.advance("1m")
        assert partner.take_calls() == ["sku-2"]
        assert stage.outcomes() == ["retried", "succeeded"]


@pytest.mark.parametrize(
    ("retry", "again"),
    [
        (Retry.every("1m", never_on=ConnectionError), False),
        (Retry.every("1m", never_on=PartialFailure), False),
        (Retry.every("1m", on=TimeoutError), False),
        (Retry.every("1m", on=ConnectionError), True),
        (Retry.every("1m", on=PartialFailure), True),
        (Retry.every("1m", on=(PartialFailure, KeyError), never_on=ValueError), True),
    ],
)
def test_the_policy_decides_for_each_item_by_its_own_error(retry: Retry, again: bool) -> None:
    app, partner = new_app(), Partner("sku-1")
    syncing(app, partner, retry=retry)
    with Stage(app, expect=PartialFailure) as stage:
        app.publish(CatalogChanged(skus(2)))
        stage.run()
        assert stage.outcomes() == ["retried" if again else "dead"]
        assert [item.rejected for item in stage.attempts[0].items] == [False, not again]
        if not again:
            assert [dead.reason for dead in stage.dead] == ["rejected"]
