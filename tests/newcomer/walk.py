"""Follows the README from its first command to its last, and looks whether what it says is so."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .guide import Guide, Line
from .home import Home
from .terminal import Terminal

WITHIN = 30.0
"""Seconds for a line, and for whatever must be seen."""

INSTALL_WITHIN = 300.0
"""Seconds for a line that fetches packages."""

STAYS = {
    "callboard run": "Worker process is ready",
    "dramatiq": "Worker process is ready",
    "callboard info --watch": "out/s",
}
"""The lines that run until Ctrl-C, by how they begin, with what each says once it is there."""

FETCHES = ("make", "pip", "python3 -m venv")

LEFT_OUT = {"make test": "it has a step of its own in CI, and takes as long as all else together"}
"""The lines of the README that are not followed."""

RECEIPT = r"sending\s.*order_id={}\b"
"""What the handler of the first page says of an order."""


class Walk:
    """A newcomer's way through a README, in a home of its own."""

    def __init__(self, guide: Guide, home: Home, tell: Callable[[str], None]) -> None:
        self.guide = guide
        self.home = home
        self._tell = tell
        self._followed: set[int] = set()
        self.shop = home.directory("shop")

    def two_commands(self, checkout: Path) -> None:
        """The section of this name, and what follows it: the environment of the demo, then one's own."""
        (block,) = self.guide.commands("Two commands")
        for line in block:
            if line.text not in LEFT_OUT:
                said = self.type(line, checkout)
                expect(line, "Nothing was lost", said)
        before = dict(self.home.environment)
        self.home.activate(self.guide.prose("source .venv/bin/activate"), checkout, WITHIN)
        self.type(Line(self.guide.prose("callboard").number, "callboard --help"), self.shop)
        self.home.environment = before
        self._own_environment(checkout)

    def _own_environment(self, checkout: Path) -> None:
        own = self.home.path / "own"
        number, make = self.guide.prose("python3 -m venv")
        self.type(Line(number, f"{make} {own}"), checkout)
        self.home.activate(Line(number, f"source {own}/bin/activate"), checkout, WITHIN)
        self.type(self.guide.prose("pip install '.[all]'"), checkout)

    def first_page(self) -> None:
        """Workers in one terminal, a publisher in another; then the same workers by dramatiq's command."""
        self.save(self.guide.prose("shop.py").text, self.guide.page("The first page").text)
        callboards, dramatiqs = self.guide.commands("The first page")
        with self.following(callboards) as (workers,):
            workers.until(RECEIPT.format("A-1"), WITHIN)
            self.await_figures(workers.line, "orders", succeeded=1, scheduled=1)
        with self.following(dramatiqs) as (workers,):
            self.type(callboards[-1], self.shop)
            workers.until(RECEIPT.format("A-1"), WITHIN)
            self.await_figures(workers.line, "orders", succeeded=2, scheduled=2)

    def second_page(self) -> None:
        """Its code above the last lines of the first page, and the payment that is not taken twice."""
        above, last, below = (self.shop / "shop.py").read_text().partition('if __name__ == "__main__":')
        code = self.guide.page("The second page").text
        self.guide.prose("pay_twice()")
        self.save("shop.py", f"{above}{code}\n\n{last}{below}    pay_twice()\n")
        start, publish = self.guide.commands("The first page")[0]
        printed = self.guide.printed("The second page")
        with self.following([start]) as (workers,):
            said = self.type(publish, self.shop)
            expect(printed, re.escape(printed.text), said)
            workers.until(RECEIPT.format("A-1"), WITHIN)
            self.await_figures(printed, "payments", succeeded=1, duplicates=1)
            self.await_figures(publish, "orders", succeeded=3, scheduled=3)

    def commands(self) -> None:
        """The lines under "Commands", with their order among the workers' words."""
        (block,) = self.guide.commands("Commands")
        with self.following(block) as (workers, _):
            workers.until(RECEIPT.format("A-3"), WITHIN)
            self.await_figures(workers.line, "orders", succeeded=4, scheduled=3)
            for line in block:
                if reason := re.search(r"queue pause (\w+) --reason '(.*)'", line.text):
                    paused = self.figures(line, reason[1])["paused"] or {}
                    if paused.get("reason") != reason[2]:
                        raise line.stumble("is not what `callboard info --json` tells:", str(paused))

    def in_a_test(self) -> None:
        """The example of a test, run with what the README says to install for it."""
        install = self.guide.prose("pip install pytest")
        self.type(install, self.shop)
        page = self.guide.page("In a test")
        self.save(self.guide.prose("test_greetings.py").text, page.text)
        said = self.type(Line(page.line, "pytest"), self.shop)
        expect(Line(page.line, "pytest"), r"\b1 passed\b", said)

    def end(self) -> None:
        """Nothing runs any more, and no line of the README was passed over."""
        self.home.await_nothing_running(WITHIN)
        for line in self.guide.all_commands():
            if line.number not in self._followed and line.text not in LEFT_OUT:
                raise line.stumble("was not followed: tests/newcomer/walk.py does not know its section")

    def save(self, name: str, text: str) -> None:
        """Save code in the shop's directory."""
        (self.shop / name).write_text(text, "utf-8")

    def type(self, line: Line, directory: Path) -> str:
        """Type a line and wait until it succeeds; what it said."""
        began = time.monotonic()
        within = INSTALL_WITHIN if line.text.startswith(FETCHES) else WITHIN
        said = self.home.run(line, directory, within)
        self._followed.add(line.number)
        self._tell(f"{time.monotonic() - began:6.1f} s  README.md:{line.number}: {line.text}")
        return said

    @contextmanager
    def following(self, lines: Sequence[Line]) -> Iterator[list[Terminal]]:
        """Type lines in turn; those that stay are given once all are typed, and ended with Ctrl-C."""
        with ExitStack() as stack:
            open_ones: list[Terminal] = []
            for line in lines:
                if words := next((STAYS[how] for how in STAYS if line.text.startswith(how)), None):
                    terminal = stack.enter_context(self.home.open(line, self.shop))
                    terminal.until(words, WITHIN)
                    self._followed.add(line.number)
                    open_ones.append(terminal)
                else:
                    self.type(line, self.shop)
            yield open_ones
            for terminal in reversed(open_ones):
                terminal.interrupt(WITHIN)
                self._tell(f"   Ctrl-C  README.md:{terminal.line.number}: {terminal.line.text}")

    def figures(self, line: Line, queue: str) -> dict[str, Any]:
        """What `callboard info --json` tells of a queue, for the sake of a line."""
        said = self.home.run(Line(line.number, "callboard info --json"), self.shop, WITHIN)
        try:
            queues = json.loads(said)["queues"]
        except ValueError:
            raise line.stumble("and then `callboard info --json` prints no JSON:", said) from None
        return next((each for each in queues if each["queue"] == queue), {})

    def await_figures(self, line: Line, queue: str, **expected: int) -> None:
        """Wait until info tells these figures of a queue."""
        deadline = time.monotonic() + WITHIN
        while True:
            told = self.figures(line, queue)
            found = {name: told.get(name) for name in expected}
            if found == expected:
                return
            if time.monotonic() > deadline:
                raise line.stumble(f"left {queue} with {found}, not {expected}")


def follow(guide: Guide, home: Home, checkout: Path, tell: Callable[[str], None]) -> None:
    """Follow a README from its first command to its last.

    Raises:
        Stumble: A line of it did not do what it says.
    """
    walk = Walk(guide, home, tell)
    walk.two_commands(checkout)
    walk.first_page()
    walk.second_page()
    walk.commands()
    walk.in_a_test()
    walk.end()


def cloned(repository: Path, path: Path) -> Path:
    """A fresh clone of what is committed in a repository."""
    subprocess.run(["git", "clone", "--quiet", str(repository), str(path)], check=True)
    return path


def expect(line: Line, pattern: str, said: str) -> None:
    """Raise Stumble unless this was said."""
    if not re.search(pattern, said):
        raise line.stumble(f"should have said {pattern!r}:", said)
