"""Pictures and texts on terminals that are small, in names of any script, and from whoever wrote them."""

import pytest
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from callboard.actors.mailbox.infos import QueueInfo
from callboard.cli.pace import Course
from callboard.cli.terminal import console
from tests.front.test_watch import look, picture


def test_of_more_queues_than_a_terminal_has_lines_the_fullest_are_shown_and_what_is_amiss() -> None:
    course = Course()
    course.add(look(0, *(QueueInfo(f"queue-{number:03}", ready=number) for number in range(200))))
    lines = picture(course, 80, "it is away", 24)
    assert len(lines) <= 23
    shown = [line.split()[0] for line in lines if line.startswith("queue-")]
    assert shown == [f"queue-{number:03}" for number in range(200 - len(shown), 200)]
    assert f"and {200 - len(shown)} more queues" in lines[-2]
    assert lines[-1] == "it is away"
    assert len(picture(course, 80)) == 203


def test_names_in_any_script_keep_to_their_columns() -> None:
    course = Course()
    names = ("注文の待ち行列", "café-☕", "заказы")
    course.add(look(0, *(QueueInfo(name, ready=1) for name in names)))
    lines = picture(course, 60)[3:]
    assert [line.split()[:2] for line in lines] == [[name, "1"] for name in names]
    assert {cell_len(line.rstrip()) for line in lines} == {cell_len(lines[0].rstrip())}


def test_a_text_from_elsewhere_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out = console()
    hostile = "\x1b[2J\x1b]0;owned\x07 \u202eabc\x9b31m\r\nfine\ttoo"
    out.print(Text(hostile))
    table = Table("a")
    table.add_row(hostile)
    out.print(hostile, table, markup=False)
    told = capsys.readouterr().out
    assert not set(told) & {"\x1b", "\x07", "\u202e", "\x9b", "\r"}
    assert told.count("fine") == 3
    assert told.count("[2J") == 3
