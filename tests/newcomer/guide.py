"""What the README asks of a newcomer: lines to type, code to save, and what is to be seen."""

import re
from typing import NamedTuple, NoReturn

from tests.documents import Block, blocks_of, blocks_under


class Stumble(Exception):
    """Raised when the README, followed word for word, does not do what it says."""


class Line(NamedTuple):
    """A line of the README that is typed into a shell."""

    number: int
    """Where it stands, from 1."""
    text: str

    def stumble(self, why: str, said: str = "") -> Stumble:
        """That following this line did not do what it should, with the last of what was said."""
        last = "".join(f"\n    {each}" for each in said.rstrip().splitlines()[-40:])
        return Stumble(f"README.md:{self.number}: `{self.text}` {why}{last}")


class Guide:
    """A README, read for what it asks of its reader."""

    def __init__(self, text: str) -> None:
        self._text = text

    def commands(self, heading: str) -> list[list[Line]]:
        """The blocks of lines that a section has typed into a shell; a comment is no part of a line."""
        blocks = blocks_under(self._text, heading, "sh")
        return [_lines_of(block) for block in blocks] or self._missing(f"commands under {heading!r}")

    def all_commands(self) -> list[Line]:
        """Every line of every such block."""
        return [line for block in blocks_of(self._text, "sh") for line in _lines_of(block)]

    def page(self, heading: str) -> Block:
        """The code of a section."""
        return next(iter(blocks_under(self._text, heading, "python")), None) or self._missing(
            f"code under {heading!r}"
        )

    def prose(self, code: str) -> Line:
        """The line whose prose has this between backticks."""
        for number, line in enumerate(self._text.splitlines(), 1):
            if f"`{code}`" in line:
                return Line(number, code)
        return self._missing(f"`{code}`")

    def printed(self, heading: str) -> Line:
        """What the code of a section says, in a comment, that its only `print` prints."""
        block = self.page(heading)
        for number, line in enumerate(block.text.splitlines(), block.line):
            if found := re.search(r"print\(.*\)  # (\[.*?\])", line):
                return Line(number, found[1])
        return self._missing(f"a print with a comment of what it prints under {heading!r}")

    def _missing(self, what: str) -> NoReturn:
        raise Stumble(f"README.md: {what} is not there any more: tests/newcomer follows it")


def _lines_of(block: Block) -> list[Line]:
    numbered = enumerate(block.text.splitlines(), block.line)
    return [Line(number, line.partition(" #")[0].strip()) for number, line in numbered if line.strip()]
