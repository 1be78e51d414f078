"""`callboard queue`: pausing, resuming, draining and purging, as an operator does it."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from callboard.actors.mailbox.infos import QueueInfo
from callboard.actors.mailbox.mailbox import Fetched, Mailbox
from callboard.actors.mailbox.memory import MemoryMailbox, VirtualClock
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.cli.asking import NotWanted, consent, who
from callboard.cli.draining import LOOK_SECONDS, drained
from callboard.cli.exits import ExitCode
from callboard.messages.errors import ConfigurationError
from tests.actors.mailbox.conformance import LONG, posting, queue_of, settlement, target
from tests.actors.mailbox.roles import url_as
from tests.front.conftest import InProcess, wait_for
from tests.servers import Server


def hold(mailbox: Mailbox, count: int, *, queue: str = "orders") -> None:
    """So many deliveries in a queue."""
    mailbox.publish(
        [posting(target(str(number), actor=f"of-{queue}", queue=queue)) for number in range(count)]
    )


def leased(mailbox: Mailbox, *, lease_ms: int = LONG) -> Fetched:
    """Take what is ready, as a worker does."""
    return mailbox.fetch("orders", 100, owner="worker-1", lease_ms=lease_ms)


def state(mailbox: Mailbox, queue: str = "orders") -> QueueInfo:
    """One queue of a mailbox."""
    return queue_of(mailbox.info(), queue)


# Pause and resume.


def test_a_queue_is_paused_by_whoever_says_so_and_resumed(command: InProcess, board: RedisMailbox) -> None:
    hold(board, 3)
    answer = command("queue", "pause", "orders", "--reason", "the bank is down", "--by", "ann")
    assert (answer.code, answer.out.splitlines()) == (
        0,
        ["orders is paused, by ann 0s ago: the bank is down"],
    )
    paused = state(board).paused
    assert paused is not None
    assert (paused.by, paused.reason) == ("ann", "the bank is down")
    assert leased(board).deliveries == []
    assert command("queue", "resume", "orders").out == "orders is resumed\n"
    assert command("queue", "resume", "orders").out == "orders was not paused\n"
    assert len(leased(board).deliveries) == 3


def test_several_queues_are_paused_at_once_and_all_that_are_paused_resumed(
    command: InProcess, board: RedisMailbox
) -> None:
    hold(board, 1)
    hold(board, 1, queue="stock")
    hold(board, 1, queue="mail")
    told = json.loads(command("queue", "pause", "orders", "stock", "--json").out)
    assert [each["queue"] for each in told] == ["orders", "stock"]
    assert told[0]["pause"]["by"] == who()
    resumed = json.loads(command("queue", "resume", "--all", "--json").out)
    assert [each["queue"] for each in resumed] == ["orders", "stock"]
    assert command("queue", "resume", "--all").out == "no queue is paused\n"
    assert not any(queue.paused for queue in board.info().queues)


@pytest.mark.parametrize("what", ["pause", "resume", "drain", "purge"])
def test_a_queue_that_there_is_not_names_the_nearest(
    command: InProcess, board: RedisMailbox, what: str
) -> None:
    hold(board, 1)
    answer = command("queue", what, "ordres")
    assert answer.code == ExitCode.FAILED
    assert "did you mean orders?" in answer.err
    assert [queue.queue for queue in board.info().queues] == ["orders"]


def test_a_queue_can_be_paused_that_only_a_worker_has_told_of(
    command: InProcess, board: RedisMailbox
) -> None:
    board.register([Subscription("receipt", "new", {"order.placed": 1000})])
    assert command("queue", "pause", "new").code == 0
    assert state(board, "new").paused is not None


@pytest.mark.parametrize("what", ["pause", "resume"])
def test_naming_no_queue_is_wrong_usage(command: InProcess, board: RedisMailbox, what: str) -> None:
    answer = command("queue", what)
    assert answer.code == ExitCode.USAGE
    assert f"callboard queue {what} QUEUE" in answer.err


def test_all_queues_and_one_of_them_are_not_both_resumed(command: InProcess, board: RedisMailbox) -> None:
    hold(board, 1)
    hold(board, 1, queue="stock")
    command("queue", "pause", "orders", "stock")
    answer = command("queue", "resume", "orders", "--all")
    assert (answer.code, "not both" in answer.err) == (ExitCode.USAGE, True)
    assert all(queue.paused for queue in board.info().queues)


# Drain.


def test_a_drain_pauses_all_queues_and_waits_for_what_is_leased(
    command: InProcess, board: RedisMailbox
) -> None:
    hold(board, 5)
    hold(board, 2, queue="stock")
    (running,) = board.fetch("orders", 1, owner="worker-1", lease_ms=LONG).deliveries

    def end_it() -> None:
        wait_for(lambda: state(board).paused, "the pause")
        board.settle([settlement(running)])

    worker = threading.Thread(target=end_it)
    worker.start()
    answer = command("queue", "drain", "--json", "--timeout", "30s")
    worker.join()
    told = json.loads(answer.out)
    assert (answer.code, told["drained"], told["left"], told["resumed"]) == (0, True, 0, False)
    assert [(each["queue"], each["ready"], each["leased"]) for each in told["queues"]] == [
        ("orders", 4, 0),
        ("stock", 2, 0),
    ]
    assert all(each["paused"]["reason"] == "drained" for each in told["queues"])


def test_what_is_not_drained_in_time_stays_paused_and_says_so(
    command: InProcess, board: RedisMailbox
) -> None:
    hold(board, 2)
    leased(board)
    answer = command("queue", "drain", "orders", "--timeout", "100ms")
    assert answer.code == ExitCode.FAILED
    assert answer.out == "not drained within 100ms: 2 deliveries are leased; it stays paused\n"
    assert state(board).paused is not None


def test_what_is_not_drained_in_time_is_resumed_if_that_is_wanted_but_not_what_others_paused(
    command: InProcess, board: RedisMailbox
) -> None:
    hold(board, 1)
    hold(board, 1, queue="stock")
    leased(board)
    board.controls.pause("stock", by="bob")
    told = json.loads(command("queue", "drain", "--timeout", "0s", "--or-resume", "--json").out)
    assert (told["drained"], told["left"], told["resumed"]) == (False, 1, True)
    assert state(board).paused is None
    assert state(board, "stock").paused is not None


def test_a_drain_ends_though_the_worker_that_held_something_is_gone(
    command: InProcess, board: RedisMailbox
) -> None:
    hold(board, 3)
    leased(board, lease_ms=300)
    answer = command("queue", "drain", "--timeout", "30s")
    assert answer.code == 0
    assert (state(board).suspects, state(board).leased) == (3, 0)


def test_empty_waits_for_all_but_what_is_scheduled_and_pauses_nothing(
    command: InProcess, board: RedisMailbox
) -> None:
    hold(board, 2)
    board.publish([posting(target("later"), delay_ms=LONG)])
    answer = command("queue", "drain", "orders", "--empty", "--timeout", "0s")
    assert (answer.code, answer.out) == (1, "not drained within 0s: 2 deliveries are left\n")
    board.settle([settlement(each) for each in leased(board).deliveries])
    told = json.loads(command("queue", "drain", "orders", "--empty", "--timeout", "0s", "--json").out)
    assert (told["drained"], told["empty"], told["queues"][0]["paused"]) == (True, True, None)


def test_a_drain_that_is_interrupted_resumes_if_that_is_wanted(
    board: RedisMailbox, environment: dict[str, str], server: Server
) -> None:
    hold(board, 1)
    leased(board)
    command = [sys.executable, "-m", "callboard", "queue", "drain", "--or-resume"]
    ours = environment | {
        "CALLBOARD_URL": url_as("operator", server.url),
        "CALLBOARD_WORKSPACE": board.workspace,
    }
    process = subprocess.Popen(command, env=ours, stderr=subprocess.DEVNULL)
    wait_for(lambda: state(board).paused, "the pause")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == ExitCode.INTERRUPTED
    assert state(board).paused is None


def test_a_drain_looks_until_its_time_is_up_and_no_longer() -> None:
    clock, slept, shown = VirtualClock(), list[float](), list[int]()
    mailbox = MemoryMailbox(clock=clock)
    hold(mailbox, 2)
    mailbox.fetch("orders", 2, owner="w", lease_ms=LONG)
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    options = {"empty": False, "show": shown.append, "sleep": sleep, "clock": lambda: now}
    assert drained(mailbox, ["orders"], seconds=0.5, **options) is False  # type: ignore[arg-type]  # as they are named
    assert slept == pytest.approx([LOOK_SECONDS, LOOK_SECONDS, 0.1])
    assert shown == [2, 2, 2, 2]


# Purge.


def test_a_dry_run_tells_how_many_and_discards_none(command: InProcess, board: RedisMailbox) -> None:
    hold(board, 7)
    answer = command("queue", "purge", "orders", "--dry-run")
    assert (answer.code, answer.out) == (0, "7 deliveries of orders would be discarded\n")
    assert state(board).ready == 7


def test_a_purge_spares_what_is_leased_and_counts_the_rest(command: InProcess, board: RedisMailbox) -> None:
    hold(board, 2_500)
    board.publish([posting(target("later"), delay_ms=LONG)])
    leased(board)
    answer = command("queue", "purge", "orders", "--yes", "--json")
    assert json.loads(answer.out) == {"queue": "orders", "deliveries": 2_401, "dry_run": False}
    assert (state(board).live, state(board).leased, state(board).discarded) == (100, 100, 2_401)


def test_a_purge_without_consent_discards_nothing(command: InProcess, board: RedisMailbox) -> None:
    hold(board, 2)
    answer = command("queue", "purge", "orders")
    assert answer.code == ExitCode.USAGE
    assert "Discard 2 deliveries of orders for good?" in answer.err
    assert "--yes" in answer.err
    assert state(board).ready == 2


def test_the_progress_of_a_purge_is_told(board: RedisMailbox) -> None:
    hold(board, 2_500)
    told: list[int] = []
    assert board.purge("orders", told.append) == 2_500
    assert told == [1000, 2000, 2500]


def test_a_purge_ends_though_something_is_published_all_the_while(board: RedisMailbox) -> None:
    hold(board, 2_500)

    def publish_more(purged: int) -> None:
        board.publish([posting(target(f"more-{purged}"))])

    assert board.purge("orders", publish_more) == 2_502
    assert state(board).ready == 1


@pytest.mark.parametrize(("said", "goes_on"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False)])
def test_whoever_sits_at_a_terminal_is_asked(
    said: str, goes_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "said").write_text(said)
    with (tmp_path / "said").open() as stdin:
        monkeypatch.setattr(stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys, "stdin", stdin)
        if goes_on:
            consent("Really?", yes=False)
        else:
            with pytest.raises(NotWanted):
                consent("Really?", yes=False)


def test_consent_is_not_asked_for_where_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    consent("Really?", yes=True)


def test_nobody_can_be_asked_through_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(ConfigurationError, match="--yes"):
            consent("Really?", yes=False)


def test_a_user_without_a_name_is_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert who().startswith("somebody@")
    assert who("ann") == "ann"
