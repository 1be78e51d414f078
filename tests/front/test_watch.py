"""`callboard info --watch`: how fast a mailbox works, drawn for people or a line a second for programs."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from callboard.actors.mailbox.infos import MailboxInfo, Pause, QueueInfo, WorkerInfo
from callboard.actors.mailbox.redis import RedisMailbox
from callboard.cli.exits import ExitCode
from callboard.cli.pace import SHOWN_LOOKS, Course, Look, Pace, pace
from callboard.cli.watched import COLUMNS, LATELY, columns_for, length, rate, trend, watched
from tests.actors.mailbox.conformance import LONG, posting, target
from tests.front.conftest import WITHIN, Run, Start, wait_for
from tests.front.test_schemas import check
from tests.servers import start_server


def look(at: int, *queues: QueueInfo, workers: int = 1, **oldest: int) -> Look:
    owners = tuple(WorkerInfo(f"host:{number}", at) for number in range(workers))
    return Look(MailboxInfo("shop", "memory", at, queues, owners), oldest)


# How fast it goes.


def test_a_pace_is_what_counters_grew_by_a_second() -> None:
    before = look(10_000, QueueInfo("orders", accepted=100, replayed=1, succeeded=50, retried=7, dead=3))
    after = QueueInfo(
        "orders", accepted=140, replayed=5, succeeded=60, retried=27, dead=7, discarded=6, ready=90, leased=10
    )
    assert pace(before, look(12_000, after, orders=1500)) == (
        Pace("orders", 22.0, 10.0, 10.0, 2.0, oldest_ready_ms=1500, through_ms=10_000),
    )


def test_what_is_scheduled_is_not_on_its_way_through() -> None:
    before = look(0, QueueInfo("orders"))
    (told,) = pace(before, look(1000, QueueInfo("orders", succeeded=10, ready=5, scheduled=1000)))
    assert told.through_ms == 500


def test_a_queue_that_is_new_began_at_nothing_and_one_begun_anew_has_no_pace() -> None:
    (told,) = pace(look(0), look(1000, QueueInfo("orders", accepted=4)))
    assert (told.arriving, told.ending, told.through_ms) == (4.0, 0.0, None)
    (told,) = pace(look(0, QueueInfo("orders", accepted=9)), look(1000, QueueInfo("orders", accepted=4)))
    assert told.arriving == 0.0


def test_two_looks_at_one_moment_are_no_division_by_zero() -> None:
    (told,) = pace(look(5, QueueInfo("orders")), look(5, QueueInfo("orders", accepted=1)))
    assert told.arriving == 1000.0


def test_a_course_remembers_its_last_paces_and_has_none_at_the_first_look() -> None:
    course = Course()
    course.add(look(0, QueueInfo("orders")))
    assert course.pace is None
    for second in range(1, SHOWN_LOOKS + 5):
        course.add(look(second * 1000, QueueInfo("orders", accepted=second * second)))
        assert course.pace == (course.of("orders")[-1],)
    paces = [each.arriving for each in course.of("orders")]
    assert (len(paces), paces[-1]) == (SHOWN_LOOKS, 2.0 * (SHOWN_LOOKS + 4) - 1)
    assert course.of("stock") == []


# How it is drawn.


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (None, "-"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1500, "1.5 s"),
        (9990, "10.0 s"),
        (64_000, "64 s"),
        (300_000, "5 m"),
        (7_200_000, "2 h"),
        (864_000_000, "10 d"),
    ],
)
def test_a_length_of_time_is_told_shortly(milliseconds: int | None, told: str) -> None:
    assert length(milliseconds) == told


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0"), (0.44, "0.4"), (9.6, "9.6"), (12.4, "12"), (3400, "3,400")]
)
def test_a_rate_is_told_shortly(value: float, told: str) -> None:
    assert rate(value) == told


def test_a_trend_is_as_high_as_its_largest_value() -> None:
    assert trend([0, 5, 10]) == "▁▅█"
    assert trend([0, 0]) == "▁▁"
    assert trend([]) == ""


def picture(course: Course, width: int, trouble: str = "", height: int | None = None) -> list[str]:
    out = Console(file=StringIO(), width=width)
    out.print(watched(course, "redis://host:6379", width, trouble, height))
    assert isinstance(out.file, StringIO)
    return out.file.getvalue().splitlines()


def full() -> Course:
    """A course with large figures everywhere."""
    course = Course()
    for second in range(SHOWN_LOOKS + 1):
        queues = [
            QueueInfo(
                name,
                ready=1_000_000,
                suspects=5,
                leased=10_000,
                waiting=99_999,
                scheduled=1_000_000,
                accepted=second * 54_000,
                succeeded=second * 40_000,
                retried=second * 12_345,
                dead=second * 99,
            )
            for name in ("orders", "the-invoices-of-all-the-others-in-the-world")
        ]
        course.add(look(second * 1000, *queues, orders=7_100_000))
    return course


@pytest.mark.parametrize("width", [24, 30, 40, 60, 80, 100, 120, 160, 240])
def test_a_picture_is_never_wider_than_the_terminal(width: int) -> None:
    lines = picture(full(), width)
    assert max(map(len, lines)) <= width
    # One line for each queue, however narrow it is.
    assert len(lines) == 5
    assert lines[3].split()[0] == "orders"


def test_a_wider_terminal_shows_more_and_in_the_same_order() -> None:
    shown = [[column.title for column in columns_for(width)] for width in range(20, 200)]
    assert shown[0] == []
    assert shown[-1] == [column.title for column in COLUMNS]
    order = {column.title: position for position, column in enumerate(COLUMNS)}
    for fewer, more in pairwise(shown):
        assert set(fewer) <= set(more)
        assert more == sorted(more, key=order.__getitem__)
    assert {"ready", "out/s", "oldest"} <= set(shown[60])


def test_a_picture_tells_what_there_is() -> None:
    lines = picture(full(), 240)
    titles = re.split(r"\s{2,}", lines[1].strip())
    assert titles == ["queue", *(column.title for column in COLUMNS)]
    assert re.split(r"\s{2,}", lines[3].strip()) == [
        *("orders", "1,000,005", "54,000", "40,099", "118 m", "28 s", "10,000", "99,999", "1,000,000"),
        *("12,345", "99", "1,980", "█" * SHOWN_LOOKS),
    ]
    assert LATELY in titles


def test_a_picture_says_what_is_amiss() -> None:
    course = Course()
    assert picture(course, 80) == ["looking at redis://host:6379 ..."]
    assert picture(course, 80, "it is away") == ["it is away"]
    course.add(look(0, workers=0))
    assert "no workers" in picture(course, 80)[0]
    assert "nothing has been published" in picture(course, 80)[1]
    course.add(look(1000, QueueInfo("orders", paused=Pause(0)), QueueInfo("[red]")))
    shown = "\n".join(picture(course, 80, "it is away"))
    assert "orders (paused)" in shown
    assert "[red]" in shown
    assert shown.endswith("it is away")


# On a terminal, and in a pipe.


@contextmanager
def on_a_terminal(width: int, *arguments: str, cwd: Path, env: dict[str, str]) -> Iterator["Terminal"]:
    """Run a command on a terminal of its own."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "callboard", *arguments],
        cwd=cwd,
        env={name: value for name, value in env.items() if name != "COLUMNS"} | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WITHIN)
        os.close(ours)


class Terminal:
    """What stands on a terminal, and its keyboard."""

    def __init__(self, line: int, process: "subprocess.Popen[bytes]") -> None:
        self._line = line
        self.process = process
        self.text = ""

    def read(self) -> str:
        """All that was written since it was asked last."""
        new = b""
        while select.select([self._line], [], [], 0.05)[0]:
            try:
                new += os.read(self._line, 65536)
            except OSError:  # nobody is there to write any more
                break
        told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", new.decode("utf-8", "replace"))
        self.text += told
        return told

    def await_text(self, text: str) -> None:
        """Return once something new has a text in it."""
        wait_for(lambda: text in self.read(), f"{text!r} in {self.text[-2000:]!r}")

    def press_ctrl_c(self) -> int:
        """Leave; the exit code."""
        os.write(self._line, b"\x03")
        wait_for(lambda: (self.read(), self.process.poll())[1] is not None, "it ends")
        return self.process.returncode


@pytest.mark.parametrize("width", [40, 120])
def test_a_terminal_shows_what_happens_until_ctrl_c(
    board: RedisMailbox, tmp_path: Path, environment: dict[str, str], width: int
) -> None:
    env = environment | {name: os.environ[name] for name in ("CALLBOARD_URL", "CALLBOARD_WORKSPACE")}
    with on_a_terminal(width, "info", "--watch", cwd=tmp_path, env=env) as terminal:
        terminal.await_text("nothing has been published")
        board.publish([posting(target(str(number))) for number in range(1234)])
        terminal.await_text("1,234")
        assert terminal.press_ctrl_c() == ExitCode.INTERRUPTED
        assert "Traceback" not in terminal.text
    lines = [line for line in re.split(r"[\r\n]+", terminal.text) if line]
    assert max(map(len, lines)) <= width


def test_a_server_that_is_away_is_told_of_and_waited_for(tmp_path: Path, environment: dict[str, str]) -> None:
    server = start_server("valkey", tmp_path / "server")
    mailbox = RedisMailbox(server.url, "default")
    mailbox.publish([posting(target("a"))])
    with on_a_terminal(
        150, "info", "--watch", "--url", server.url, cwd=tmp_path, env=environment
    ) as terminal:
        terminal.await_text("orders")
        server.stop()
        terminal.await_text("cannot be reached")
        server.restart()
        mailbox.publish([posting(target(str(number))) for number in range(4321)])
        terminal.await_text("4,322")
        assert terminal.press_ctrl_c() == ExitCode.INTERRUPTED
    mailbox.close()
    server.stop()


def test_in_a_pipe_it_is_one_picture_after_another(
    board: RedisMailbox, start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {name: os.environ[name] for name in ("CALLBOARD_URL", "CALLBOARD_WORKSPACE")}
    board.publish([posting(target("first"))])
    watching = start([sys.executable, "-m", "callboard", "info", "--watch"])
    wait_for(lambda: (tmp_path / "out").read_text().count(LATELY) >= 2, "two pictures")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(WITHIN) == ExitCode.INTERRUPTED
    assert "\x1b" not in (tmp_path / "out").read_text()


def test_a_mailbox_that_is_not_there_is_told_at_once(callboard: Run) -> None:
    for arguments in (("--watch",), ("--watch", "--json")):
        assert callboard("info", *arguments).returncode == ExitCode.FAILED


def test_with_json_it_is_a_line_a_second_as_the_schema_says(
    board: RedisMailbox, tmp_path: Path, environment: dict[str, str]
) -> None:
    env = environment | {name: os.environ[name] for name in ("CALLBOARD_URL", "CALLBOARD_WORKSPACE")}
    board.publish([posting(target("first"))])
    watching = subprocess.Popen(
        [sys.executable, "-m", "callboard", "info", "--watch", "--json"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    began = time.monotonic()
    first = json.loads(watching.stdout.readline())
    board.publish([posting(target(str(number))) for number in range(50)])
    board.fetch("orders", 1, owner="host:1:abc", lease_ms=LONG)
    lines = [json.loads(watching.stdout.readline()) for _ in range(2)]
    assert time.monotonic() - began >= 1.5
    watching.send_signal(signal.SIGINT)
    assert watching.wait(WITHIN) == ExitCode.INTERRUPTED
    watching.stdout.close()
    for line in (first, *lines):
        check(line, "info")
    assert first["pace"] is None
    seconds = [
        (after["at"] - before["at"]) / 1000 for before, after in zip((first, *lines), lines, strict=False)
    ]
    grown = sum(line["pace"][0]["arriving"] * each for line, each in zip(lines, seconds, strict=True))
    assert round(grown) == 50
    assert lines[-1]["queues"][0]["leased"] == 1
    assert lines[-1]["pace"][0]["oldest_ready_ms"] > 0


def test_a_stream_ends_with_an_error_when_the_server_is_away(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    server = start_server("valkey", tmp_path / "server")
    watching = subprocess.Popen(
        [sys.executable, "-m", "callboard", "info", "--watch", "--json", "--url", server.url],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    watching.stdout.readline()
    server.stop()
    said = watching.communicate(timeout=WITHIN)[1]
    assert watching.returncode == ExitCode.UNREACHABLE
    assert said.startswith("callboard: ")
    assert "Traceback" not in said
