"""`callboard dlq` and `callboard event`: what an operator sees of dead letters, and does about them."""

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta

import pytest

from callboard.actors.dead_letters import DeadLetters
from callboard.actors.mailbox.ledger import Notes
from callboard.actors.mailbox.mailbox import Mailbox, Settlement
from callboard.actors.mailbox.records import Facts
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.actors.mailbox.subscriptions import Subscription
from callboard.cli.exits import ExitCode
from callboard.cli.moments import moment_ms
from callboard.messages.delivery import ErrorRecord, History, Outcome, OutcomeKind, Reason
from callboard.messages.errors import ConfigurationError
from callboard.messages.items import ItemRecord, ItemStatus
from tests.actors.mailbox.conformance import DEAD, LONG, SUCCEEDED, posting, queue_of, target
from tests.front.conftest import InProcess

SECRET = "planted-secret"  # noqa: S105 - to be looked for
BODY = f'{{"card":"{SECRET}"}}'.encode()
DAY = 24 * 3_600_000


def die(
    mailbox: Mailbox, key: str, error: str = "KeyError", *, actor: str = "pay", queue: str = "orders"
) -> str:
    """A dead letter; its record's name."""
    mailbox.publish([posting(target(key, actor=actor, queue=queue, window_ms=DAY), body=BODY)])
    (delivery,) = mailbox.fetch(queue, 1, owner="host:1:ab", lease_ms=LONG).deliveries
    told = ErrorRecord(error, f"because of {SECRET}", 1_700_000_000_000, (error[0] * 12).lower())
    settled = Settlement(
        delivery,
        Outcome(OutcomeKind.DEAD, Reason.MAX_ATTEMPTS),
        history=History(attempts=3, first_error=told, last_error=told),
        facts=Facts(key, "order.placed", 2, "A-1", "cart-7", "cause-1", "host:1:ab", 1_700_000_000_000),
    )
    mailbox.settle([settled])
    return f"{delivery.id}#{delivery.fence}"


@pytest.fixture
def letters(board: RedisMailbox) -> list[str]:
    """Three dead letters of one actor and one of another; their names."""
    board.register(
        [
            Subscription("pay", "orders", {"order.placed": DAY}),
            Subscription("mail", "mails", {"order.placed": DAY}, 1),
        ]
    )
    names = [die(board, str(number)) for number in range(2)]
    names.append(die(board, "2", "TimeoutError"))
    names.append(die(board, "0", actor="mail", queue="mails"))
    return names


# List.


def test_letters_are_listed_in_groups_the_largest_first(command: InProcess, letters: list[str]) -> None:
    answer = command("dlq", "list")
    rows = [line.split() for line in answer.out.splitlines() if "max_attempts" in line]
    assert [(row[0], row[2], row[3], row[-1]) for row in rows] == [
        ("pay", "KeyError", "k" * 12, "2"),
        ("mail", "KeyError", "k" * 12, "1"),
        ("pay", "TimeoutError", "t" * 12, "1"),
    ]
    assert SECRET not in answer.out


def test_letters_are_listed_one_by_one_the_latest_first(command: InProcess, letters: list[str]) -> None:
    told = json.loads(command("dlq", "list", "--each", "--actor", "pay", "--json").out)
    assert [each["name"] for each in told["letters"]] == letters[2::-1]
    assert told["groups"] == []
    assert (told["letters"][0]["contract"], told["letters"][0]["attempts"]) == ("order.placed", 3)
    shown = command("dlq", "list", "--each", "--limit", "2")
    assert sum("max_attempts" in line for line in shown.out.splitlines()) == 2
    assert SECRET not in shown.out + json.dumps(told)


@pytest.mark.parametrize("more", [(), ("--each",)], ids=["groups", "each"])
def test_a_list_that_was_cut_says_so(command: InProcess, letters: list[str], more: tuple[str, ...]) -> None:
    cut = command("dlq", "list", *more, "--limit", "2")
    assert cut.out.endswith("there are more than these 2: --limit says how many are listed\n")
    told = json.loads(command("dlq", "list", *more, "--limit", "2", "--json").out)
    assert len(told["groups"] or told["letters"]) == 2
    assert "there are more" not in command("dlq", "list", *more, "--limit", "4").out
    assert "there are more than these 3" in command("event", "list", "--limit", "3").out
    assert "there are more" not in command("event", "list", "--limit", "4").out


@pytest.mark.parametrize("words", [("dlq", "list"), ("dlq", "replay"), ("dlq", "discard"), ("event", "list")])
@pytest.mark.parametrize("limit", ["0", "-1"])
def test_at_most_none_is_wrong_usage(
    command: InProcess, board: RedisMailbox, words: tuple[str, ...], limit: str
) -> None:
    assert command(*words, "--limit", limit).code == ExitCode.USAGE


def test_an_empty_board_has_no_dead_letters(command: InProcess, board: RedisMailbox) -> None:
    assert command("dlq", "list").out == "no dead letters\n"
    assert command("dlq", "replay", "--all", "--yes").out == "0 of 0 dead letters are replayed\n"


def test_a_warning_tells_what_will_be_forgotten(
    command: InProcess, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "warning" not in command("dlq", "list").out
    monkeypatch.setenv("CALLBOARD_DEAD_LETTERS", "3")
    answer = command("dlq", "list")
    assert "warning: orders: 3 dead letters, of 3 that are kept" in answer.out
    assert "warning: orders: 3 dead letters, of 3 that are kept" in command("info").out
    (warning,) = json.loads(command("dlq", "list", "--json").out)["warnings"]
    assert "orders" in warning


# Show.


def test_a_letter_is_shown_with_all_that_is_kept_of_it(command: InProcess, letters: list[str]) -> None:
    answer = command("dlq", "show", letters[0])
    for words in (
        "dead (max_attempts)",
        "order.placed version 2",
        "caused by   cause-1",
        "attempts    3",
        "host:1:ab",
    ):
        assert words in answer.out
    assert "fingerprint kkkkkkkkkkkk" in answer.out
    assert BODY.decode() not in answer.out
    assert f"body        {BODY.decode()}" in command("dlq", "show", letters[0], "--body").out


def test_a_body_that_is_no_json_is_shown_as_its_bytes_alone(command: InProcess, board: RedisMailbox) -> None:
    board.publish([posting(body=b"\xff\xfe")])
    (delivery,) = board.fetch("orders", 1, owner="w", lease_ms=LONG).deliveries
    board.settle([Settlement(delivery, Outcome(OutcomeKind.DEAD, Reason.INVALID_BODY))])
    name = f"{delivery.id}#{delivery.fence}"
    assert "--raw shows its bytes" in command("dlq", "show", name, "--body").out
    told = json.loads(command("dlq", "show", name, "--raw", "--json").out)
    assert told["body"] == {"text": None, "base64": "//4="}
    assert told["origin"]["event"] == ""


def test_what_is_sensitive_is_shown_by_raw_alone(command: InProcess, board: RedisMailbox) -> None:
    body = b'{"sensitive":["/card"],"data":{"card":"4242","total":3}}'
    board.publish([posting(body=body)])
    shown = command("event", "show", "receipt:A-1", "--body").out
    assert "total" in shown
    assert "4242" not in shown
    assert b64encode(body).decode() in command("event", "show", "receipt:A-1", "--raw").out


def test_a_name_that_there_is_not_is_told(command: InProcess, board: RedisMailbox) -> None:
    for words in (("dlq", "show", "pay:1#1"), ("dlq", "replay", "pay:1#1", "--yes")):
        answer = command(*words)
        assert answer.code == ExitCode.FAILED
        assert "dlq list --each" in answer.err


# Replay and discard.


def test_letters_are_replayed_by_a_filter_and_only_once(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    words = ("dlq", "replay", "--error", "KeyError", "--actor", "pay")
    assert command(*words, "--dry-run").out == "2 dead letters would be replayed\n"
    assert queue_of(board.info(), "orders").live == 0
    assert command(*words, "--yes").out == "2 of 2 dead letters are replayed\n"
    assert command(*words, "--yes").out == "0 of 0 dead letters are replayed\n"
    (state, _) = (queue_of(board.info(), "orders"), None)
    assert (state.ready, state.replayed, state.dead_letters.count) == (2, 2, 1)


def test_a_replay_says_which_queues_are_paused(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    board.controls.pause("mails", by="ann")
    waits = "; mails is paused: callboard queue resume mails lets them go on\n"
    assert command("dlq", "replay", "--all", "--dry-run").out == f"4 dead letters would be replayed{waits}"
    assert command("dlq", "replay", "--queue", "orders", "--dry-run").out.endswith("would be replayed\n")
    told = json.loads(command("dlq", "replay", letters[0], "--to", "mail", "--dry-run", "--json").out)
    assert told["paused"] == ["mails"]
    assert command("dlq", "replay", letters[3], "--yes").out == f"1 of 1 dead letters are replayed{waits}"


def test_a_letter_that_is_named_twice_is_one(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    answer = command("dlq", "replay", letters[0], letters[0], "--yes")
    assert answer.out == "1 of 1 dead letters are replayed\n"


def test_a_queue_that_there_is_not_is_told_and_an_actor_whom_nobody_registered_is_doubted(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    for said in ("list", "replay --dry-run", "discard --dry-run"):
        answer = command("dlq", *said.split(), "--queue", "order")
        assert (answer.code, "did you mean orders?" in answer.err) == (ExitCode.FAILED, True)
    for said in ("dlq list", "dlq replay --dry-run", "event list", "schedule list"):
        words = said.split()
        answer = command(*words, "--actor", "payy")
        assert (answer.code, answer.err) == (
            ExitCode.OK,
            "callboard: no actor 'payy' is registered: did you mean pay?\n",
        )
        assert command(*words, "--actor", "pay").err == ""


def test_letters_are_replayed_by_name_and_to_another_actor(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    told = json.loads(command("dlq", "replay", letters[1], "--to", "mail", "--yes", "--json").out)
    assert (told["matched"], told["done"]) == (1, 1)
    (delivery,) = board.fetch("mails", 5, owner="w", lease_ms=LONG).deliveries
    assert (delivery.id, delivery.body) == ("mail:1", BODY)
    answer = command("dlq", "replay", letters[0], "--to", "nobody", "--yes")
    assert (answer.code, "choose of pay, mail" in answer.err) == (ExitCode.USAGE, True)


def test_a_dry_run_tells_what_another_actor_does_not_take(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    board.register([Subscription("count", "counts", {"order.paid": DAY})])
    answer = command("dlq", "replay", letters[0], "--to", "count", "--dry-run")
    assert (answer.code, "count does not subscribe to order.placed" in answer.err) == (ExitCode.USAGE, True)


def test_what_is_ended_in_its_middle_tells_how_far_it_came(
    command: InProcess, board: RedisMailbox, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_seconds: float) -> None:
        if queue_of(board.info(), "orders").replayed:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DeadLetters.__init__, "__kwdefaults__", {"sleep": interrupt})
        ended = command("dlq", "replay", "--actor", "pay", "--rate", "1/s", "--yes")  # one by one
    assert ended.code == ExitCode.INTERRUPTED
    assert ended.err == "callboard: 1 of 3 are dealt with: run it again for the others\n"
    assert command("dlq", "replay", "--actor", "pay", "--yes").out == "2 of 2 dead letters are replayed\n"


def test_what_lives_again_is_told_as_a_duplicate(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    board.publish([posting(target("0", actor="pay", window_ms=DAY), body=BODY)])
    answer = command("dlq", "replay", letters[0], "--yes")
    assert answer.out.startswith("0 of 1 dead letters are replayed; 1 left dead, for they live again")


def test_letters_are_discarded_by_the_operator(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    assert command("dlq", "discard", "--queue", "mails", "--yes").out == "1 of 1 dead letters are discarded\n"
    state = queue_of(board.info(), "mails")
    assert (state.dead, state.discarded) == (0, 1)
    listed = json.loads(command("event", "list", "--outcome", "discarded", "--json").out)
    assert [(each["name"], each["reason"]) for each in listed] == [(letters[3], "operator")]
    assert "discarded (operator, was max_attempts)" in command("event", "show", "mail:0").out


def test_one_letter_is_told_as_one(command: InProcess, board: RedisMailbox, letters: list[str]) -> None:
    assert command("dlq", "replay", letters[0], "--dry-run").out == "1 dead letter would be replayed\n"
    assert "Discard 1 dead letter?" in command("dlq", "discard", letters[0]).err


def test_whoever_names_a_delivery_is_told_which_command_takes_it(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    answer = command("dlq", "show", "pay:0")
    assert (answer.code, "callboard event show" in answer.err) == (ExitCode.FAILED, True)
    assert "pay:0" in command("event", "show", "pay:0").out


@pytest.mark.parametrize("what", ["replay", "discard"])
def test_nothing_is_done_without_consent(
    command: InProcess, board: RedisMailbox, letters: list[str], what: str
) -> None:
    answer = command("dlq", what)
    assert answer.code == ExitCode.USAGE
    assert f"{what.capitalize()} 4 dead letters?" in answer.err
    assert queue_of(board.info(), "orders").dead_letters.count == 3


@pytest.mark.parametrize("what", ["replay", "discard"])
@pytest.mark.parametrize("said", [(), ("--actor", "")], ids=["nothing", "an empty variable"])
def test_all_are_meant_only_where_that_is_said(
    command: InProcess, board: RedisMailbox, letters: list[str], what: str, said: tuple[str, ...]
) -> None:
    answer = command("dlq", what, *said, "--yes")
    assert (answer.code, "or --all" in answer.err) == (ExitCode.USAGE, True), answer.err
    assert command("dlq", what, *said, "--dry-run").out.startswith("4 dead letters would be")
    assert queue_of(board.info(), "orders").dead_letters.count == 3
    assert command("dlq", what, *said, "--all", "--yes").out.startswith("4 of 4 dead letters are")
    assert queue_of(board.info(), "orders").dead_letters.count == 0


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (("--all", "--actor", "pay"), "or --all, not both"),
        (("--reason", "tired"), "--reason takes max_age"),
        (("--since", "yesterday"), "--since takes how long ago"),
        (("--until", "2030-01-31T12:00"), "names no time zone"),
        (("--rate", "fast"), "--rate takes so many a second"),
        (("pay:1#1", "--actor", "pay"), "not both"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_mend(
    command: InProcess, board: RedisMailbox, words: tuple[str, ...], mend: str
) -> None:
    answer = command("dlq", "replay", *words, "--yes")
    assert (answer.code, mend in answer.err) == (ExitCode.USAGE, True), answer.err


def test_a_moment_is_how_long_ago_or_in_iso_8601() -> None:
    now = 1_700_000_000_000
    assert moment_ms("2h", now, option="--since") == now - 7_200_000
    at = datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert moment_ms("2030-01-31T12:00Z", now, option="--since") == at.timestamp() * 1000
    assert moment_ms("2030-01-31T13:00+01:00", now, option="--since") == at.timestamp() * 1000
    later = at + timedelta(milliseconds=1)
    assert moment_ms(later.isoformat(), now, option="--since") == round(later.timestamp() * 1000)
    with pytest.raises(ConfigurationError):
        moment_ms("-2h", now, option="--since")


# Events.


def test_an_event_shows_every_actors_delivery(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    board.publish([posting(target("0", actor="pay", window_ms=DAY), body=BODY)])
    told = json.loads(command("event", "show", "0", "--json").out)
    pay, mail = told["deliveries"]
    assert (pay["live"]["state"], pay["live"]["ahead"], pay["queue"]) == ("ready", 0, "orders")
    assert [each["name"] for each in pay["ended"]] == [letters[0]]
    assert (mail["live"], [each["reason"] for each in mail["ended"]]) == (None, ["max_attempts"])
    assert pay["live"]["body"] is None
    shown = command("event", "show", "0").out
    assert "ready  in orders, 0 ahead" in shown
    assert BODY.decode() not in shown
    assert shown.count("body") == 0


def test_a_success_at_the_first_attempt_tells_about_when(command: InProcess, board: RedisMailbox) -> None:
    board.register([Subscription("pay", "orders", {"order.placed": DAY})])
    board.publish([posting(target("0", actor="pay", window_ms=DAY))])
    (delivery,) = board.fetch("orders", 1, owner="w", lease_ms=LONG).deliveries
    board.settle([Settlement(delivery, SUCCEEDED, DAY)])
    shown = command("event", "show", "0").out
    assert f"succeeded  at about {datetime.now(UTC):%Y-%m-%d}" in shown
    assert "first attempt" in shown


def test_an_event_that_nobody_knows_is_told(command: InProcess, board: RedisMailbox) -> None:
    answer = command("event", "show", "nothing")
    assert answer.code == ExitCode.FAILED
    assert "nothing is known of nothing" in answer.err


def test_what_has_ended_is_listed_the_latest_first_and_what_is_left_out_is_told(
    command: InProcess, board: RedisMailbox, letters: list[str]
) -> None:
    listed = json.loads(command("event", "list", "--json").out)
    assert [each["name"] for each in listed] == letters[::-1]
    assert json.loads(command("event", "list", "--actor", "mail", "--json").out) == listed[:1]
    assert json.loads(command("event", "list", "--limit", "2", "--json").out) == listed[:2]
    assert json.loads(command("event", "list", "--since", "0s", "--json").out) in ([], listed[:1])
    assert "only if it had items, or if its contract says retention=" in command("event", "list").out
    assert "retention=" not in command("event", "list", "--outcome", "dead").out
    assert command("event", "list", "--outcome", "lost").code == ExitCode.USAGE


def test_items_are_counted_and_as_many_are_told_as_were_asked_for(
    command: InProcess, board: RedisMailbox
) -> None:
    board.register([Subscription("pay", "orders", {"order.placed": DAY})])
    board.publish([posting(target("0", actor="pay", window_ms=DAY))])
    (delivery,) = board.fetch("orders", 1, owner="w", lease_ms=LONG).deliveries
    fared = [*["succeeded"] * 2000, *["skipped"] * 5, *["failed"] * 3]
    items = [ItemRecord(f"sku-{place:04}", ItemStatus(status), 1, 5, 9) for place, status in enumerate(fared)]
    board.ledger.write([Notes(delivery, items)])
    counts = {"succeeded": 2000, "failed": 3, "skipped": 5}
    (live,) = json.loads(command("event", "show", "0", "--json").out)["deliveries"]
    assert (live["live"]["item_counts"], len(live["live"]["items"])) == (counts, 100)
    board.settle([Settlement(delivery, DEAD, history=History(attempts=1, items=True))])
    name = f"{delivery.id}#{delivery.fence}"
    for words in (("event", "show", "0"), ("dlq", "show", name)):
        shown = command(*words, "--items", "4").out
        assert "items       2,000 succeeded, 3 failed, 5 skipped" in shown
        assert [line.split()[1] for line in shown.splitlines() if "attempts 1" in line and "sku" in line] == [
            "sku-2005:",
            "sku-2006:",
            "sku-2007:",
            "sku-2000:",
        ]
        assert "4 more did not succeed: --items says how many are told" in shown
        assert "did not succeed" not in command(*words).out
    told = json.loads(command("dlq", "show", name, "--items", "0", "--json").out)
    assert (told["item_counts"], told["items"]) == (counts, [])
    assert len(json.loads(command("dlq", "show", name, "--items", "5000", "--json").out)["items"]) == 2008


def test_the_body_of_what_has_ended_is_shown_where_it_is_asked_for(
    command: InProcess, letters: list[str]
) -> None:
    (pay, _) = json.loads(command("event", "show", "0", "--body", "--json").out)["deliveries"]
    assert pay["ended"][0]["body"]["base64"] or pay["ended"][0]["body"]["text"]
    (pay, _) = json.loads(command("event", "show", "0", "--raw", "--json").out)["deliveries"]
    assert b64decode(pay["ended"][0]["body"]["base64"]) == BODY
