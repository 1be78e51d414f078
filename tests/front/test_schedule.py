"""`callboard schedule`: what an operator sees of what is due later, and can do about it."""

import json
from datetime import UTC, datetime

import pytest

from callboard.actors.mailbox.redis import RedisMailbox
from callboard.cli.exits import ExitCode
from callboard.messages.delivery import Delivery
from tests.actors.mailbox.conformance import LONG, posting, queue_of, settlement, target
from tests.front.conftest import InProcess, wait_for

HOUR = 3_600_000


def plan(board: RedisMailbox, *, queue: str = "orders", actor: str = "receipt", **ahead: int) -> int:
    """Deliveries by these keys, so many milliseconds ahead; the moment they count from."""
    now = board.info().at
    board.publish(
        [posting(target(key, actor=actor, queue=queue), due_at=now + ms) for key, ms in ahead.items()]
    )
    return now


def listed(command: InProcess, *options: str) -> list[str]:
    """The ids that are listed."""
    return [each["id"] for each in json.loads(command("schedule", "list", "--json", *options).out)]


def test_what_is_due_is_listed_the_soonest_first_over_all_queues(
    command: InProcess, board: RedisMailbox
) -> None:
    now = plan(board, later=3 * HOUR, soon=HOUR)
    plan(board, queue="stock", actor="count", middle=2 * HOUR)
    told = json.loads(command("schedule", "list", "--json").out)
    assert [each["id"] for each in told] == ["receipt:soon", "count:middle", "receipt:later"]
    assert told[0] == {
        "id": "receipt:soon",
        "queue": "orders",
        "actor": "receipt",
        "due_at": now + HOUR,
        "attempts": 0,
    }
    shown = command("schedule", "list").out
    due = datetime.fromtimestamp((now + HOUR) / 1000, UTC).isoformat(timespec="milliseconds")[:-6]
    assert due in shown
    assert shown.splitlines()[-1] == "3 of 3 scheduled"


def test_a_list_is_narrowed_by_queue_actor_time_and_count(command: InProcess, board: RedisMailbox) -> None:
    plan(board, a=HOUR, b=2 * HOUR, c=3 * HOUR)
    plan(board, queue="stock", actor="count", d=HOUR)
    assert listed(command, "--queue", "stock") == ["count:d"]
    assert listed(command, "--actor", "receipt", "--limit", "2") == ["receipt:a", "receipt:b"]
    assert listed(command, "--queue", "orders", "--before", "90 minutes") == ["receipt:a"]
    end = datetime.fromtimestamp(board.info().at / 1000 + 9000, UTC).isoformat()
    assert listed(command, "--queue", "orders", "--before", end) == ["receipt:a", "receipt:b"]
    assert command("schedule", "list", "--limit", "1").out.splitlines()[-1] == "1 of 4 scheduled"
    assert command("schedule", "list", "--before", "yesterday").code == ExitCode.USAGE
    assert command("schedule", "list", "--queue", "stok").code == ExitCode.FAILED


def test_many_schedules_are_gone_through_page_by_page(command: InProcess, board: RedisMailbox) -> None:
    now = board.info().at
    for first in range(0, 10_000, 1000):
        keys = range(first, first + 1000)
        board.publish([posting(target(f"{key:06}"), due_at=now + LONG + key) for key in keys])
    plan(board, actor="last", it=365 * 24 * HOUR)
    assert listed(command, "--limit", "3") == ["receipt:000000", "receipt:000001", "receipt:000002"]
    assert listed(command, "--actor", "last") == ["last:it"]
    assert command("schedule", "cancel", "receipt:005000", "--yes").code == 0
    assert queue_of(board.info(), "orders").scheduled == 10_000


def test_what_is_scheduled_is_cancelled_with_a_record_of_who_and_why(
    command: InProcess, board: RedisMailbox
) -> None:
    plan(board, a=HOUR)
    answer = command("schedule", "cancel", "receipt:a", "--yes", "--by", "ann", "--reason", "withdrawn")
    assert (answer.code, answer.out) == (0, "receipt:a: cancelled\n")
    (record,) = board.ended("orders")
    assert (record.reason, record.detail) == ("cancelled", "by ann: withdrawn")
    assert command("schedule", "cancel", "receipt:a", "--yes").code == 0
    assert len(board.ended("orders")) == 1


def test_nothing_is_cancelled_by_a_dry_run_or_without_consent(
    command: InProcess, board: RedisMailbox
) -> None:
    plan(board, a=HOUR)
    assert command("schedule", "cancel", "receipt:a", "--dry-run").out == "receipt:a: would be cancelled\n"
    unknown = command("schedule", "cancel", "receipt:none")
    assert (unknown.code, unknown.err) == (ExitCode.FAILED, "")
    refused = command("schedule", "cancel", "receipt:a")
    assert refused.code == ExitCode.USAGE
    assert "Cancel 1 of 1 deliveries for good?" in refused.err
    assert queue_of(board.info(), "orders").scheduled == 1


def test_what_cannot_be_cancelled_is_told_and_fails_the_command(
    command: InProcess, board: RedisMailbox
) -> None:
    plan(board, a=HOUR)
    board.publish([posting(target("runs")), posting(target("done"))])
    runs, done = board.fetch("orders", 2, owner="w", lease_ms=LONG).deliveries
    board.settle([settlement(done)])
    ids = ("receipt:runs", "receipt:done", "receipt:none", "receipt:a")
    dry = command("schedule", "cancel", *ids, "--dry-run")
    answer = command("schedule", "cancel", *ids, "--yes", "--json")
    assert (dry.code, answer.code) == (ExitCode.FAILED, ExitCode.FAILED)
    assert {each["id"]: each["became"] for each in json.loads(answer.out)} == {
        "receipt:runs": "running",
        "receipt:done": "done",
        "receipt:none": "unknown",
        "receipt:a": "cancelled",
    }
    assert dry.out.splitlines()[0] == "receipt:runs: running"
    assert "receipt:none: unknown (" in dry.out
    assert "callboard schedule list" in dry.out
    assert board.settle([settlement(runs)]) == [True]


def test_what_is_scheduled_is_moved(command: InProcess, board: RedisMailbox) -> None:
    now = plan(board, a=HOUR, b=2 * HOUR)
    assert command("schedule", "move", "receipt:a", "--after", "3 hours").out == "receipt:a: moved\n"
    assert listed(command) == ["receipt:b", "receipt:a"]
    (_, moved) = json.loads(command("schedule", "list", "--json").out)
    assert now + 3 * HOUR <= moved["due_at"] <= board.info().at + 3 * HOUR
    assert command("schedule", "move", "receipt:b", "--after", "1 day", "--dry-run").out == (
        "receipt:b: would be moved\n"
    )
    assert listed(command)[0] == "receipt:b"


def test_what_is_moved_to_now_is_handed_out(command: InProcess, board: RedisMailbox) -> None:
    plan(board, a=HOUR)
    assert command("schedule", "move", "receipt:a", "--now").code == 0
    fetched: list[Delivery] = []

    def fetch() -> list[Delivery]:
        fetched.extend(board.fetch("orders", 1, owner="w", lease_ms=LONG).deliveries)
        return fetched

    wait_for(fetch, "the delivery")
    assert [each.id for each in fetched] == ["receipt:a"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("move", "receipt:a"), "--after"),
        (("move", "receipt:a", "--after", "1 day", "--now"), "--now"),
        (("move", "receipt:a", "--after", "2 years"), "--after is '2 years'"),
        (("move", "--now"), "schedule move ID"),
        (("cancel",), "schedule cancel ID"),
    ],
)
def test_what_makes_no_sense_says_what_would(
    command: InProcess, board: RedisMailbox, arguments: tuple[str, ...], told: str
) -> None:
    plan(board, a=HOUR)
    answer = command("schedule", *arguments)
    assert answer.code == ExitCode.USAGE
    assert told in answer.err
    assert listed(command) == ["receipt:a"]
