"""Tables are drawn where there is room for them, and told in paragraphs where a cell would be broken."""

from io import StringIO

import pytest
from rich.console import Console

from callboard.actors.dead_letters import DeadGroup
from callboard.actors.mailbox.infos import MailboxInfo, QueueInfo
from callboard.cli.dlq_shown import drawn_groups
from callboard.cli.info import drawn
from callboard.cli.tables import table
from callboard.messages.delivery import Reason

NAME = "send_receipt:0198c0de-7f00-7000-8000-000000000001#1234"
COLUMNS = ("queue", "one of them", "dead", "taken over")
ROWS = [("orders", NAME, 1_234_567, 0), ("mail", "", 8, 12)]


def lines(shown: object, width: int) -> list[str]:
    out = Console(file=StringIO(), width=width, emoji=False)
    out.print(shown)
    assert isinstance(out.file, StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", range(56, 130))
def test_no_name_and_no_number_is_broken_and_no_line_too_long(width: int) -> None:
    shown = lines(table(COLUMNS, ROWS, texts=2), width)
    assert any(NAME in line for line in shown)
    assert any("1,234,567" in line for line in shown)
    assert max(map(len, shown)) <= width


def test_there_is_a_line_for_each_row_where_there_is_room() -> None:
    shown = [line.split() for line in lines(table(COLUMNS, ROWS, texts=2), 100) if line]
    assert shown[-2:] == [["orders", NAME, "1,234,567", "0"], ["mail", "8", "12"]]


def test_there_is_a_paragraph_for_each_row_where_there_is_not_and_nothing_of_what_is_0() -> None:
    assert lines(table(COLUMNS, ROWS, texts=2), 70) == [
        "",
        "orders",
        f"  one of them  {NAME}",
        "  dead 1,234,567",
        "",
        "mail",
        "  one of them",
        "  dead 8, taken over 12",
        "",
    ]


def test_a_long_list_is_wrapped_between_its_names() -> None:
    names = [f"order.placed.{number}" for number in range(12)]
    shown = lines(
        table(("actor", "queue", "subscribes to"), [("mail", "mails", ", ".join(names))], texts=3), 80
    )
    assert "subscribes to" in shown[1]
    assert set(names) <= {word.strip(",") for line in shown for word in line.split()}
    assert max(map(len, shown)) <= 80


def test_a_heading_is_wrapped_where_its_cells_are_short() -> None:
    shown = lines(table(("queue", "published again"), [("orders", 7)]), 22)
    assert [line.split() for line in shown if line][:2] == [["published"], ["queue", "again"]]


def test_what_is_markup_is_drawn_and_what_was_escaped_is_told() -> None:
    assert [line for line in lines(table(("a", "b"), [(r"\[red]x", "[bold]y[/bold]")], texts=2), 80) if line][
        -1
    ].split() == ["[red]x", "y"]


def test_a_table_without_rows_has_its_headings() -> None:
    assert any(line.split() == ["queue", "dead"] for line in lines(table(("queue", "dead"), []), 80))


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_dead_letters_and_queues_can_be_read_on_any_terminal(width: int) -> None:
    group = DeadGroup(
        "send_receipt", Reason.MAX_ATTEMPTS, "SMTPServerDisconnected", "96e69060b483", 12_345, 1, 2, NAME
    )
    listed = "\n".join(lines(drawn_groups([group]), width))
    assert all(told in listed for told in (NAME, "SMTPServerDisconnected", "96e69060b483", "12,345"))
    info = MailboxInfo("shop", "valkey 9.1.2", 0, (QueueInfo("orders", ready=1_234_567, dead=7_040),), (), {})
    for part in drawn(info, "unix:///tmp/server.sock"):
        told = "\n".join(lines(part, width))
        if "orders" in told:
            assert "1,234,567" in told
            assert "7,040" in told
