"""Reads the documents: their blocks, what stands as code in them, and their tables."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

NAMES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
"""Every document, by its path in the repository."""

_FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+?) -->\n+)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block of a document."""

    kind: str
    text: str
    line: int
    """Where its text begins, from 1."""
    reason: str | None
    """Why it is not to be run, if it says so."""


def read(name: str) -> str:
    """The text of a document."""
    return (ROOT / name).read_text("utf-8")


def blocks_of(text: str, kind: str | None = None) -> list[Block]:
    """The fenced blocks of a text, or those of a kind."""
    found = [
        Block(each["kind"], each["text"], 1 + text.count("\n", 0, each.start("text")), each["reason"])
        for each in _FENCE.finditer(text)
    ]
    return [block for block in found if kind in (None, block.kind)]


def blocks_under(text: str, heading: str, kind: str | None = None) -> list[Block]:
    """The blocks of a section, up to the next heading of any level."""
    spared = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    titles = [(number, line) for number, line in enumerate(spared.splitlines(), 1) if line.startswith("#")]
    begins = [number for number, line in titles if line.lstrip("# ") == heading]
    ends = [number for number, _ in titles if begins and number > begins[0]]
    return [
        block
        for block in blocks_of(text, kind)
        if begins and begins[0] < block.line < min(ends, default=block.line + 1)
    ]


def program_in(name: str) -> str:
    """The Python blocks of a document as one program, each line where it stands in the document."""
    lines: list[str] = []
    for block in blocks_of(read(name), "python"):
        if block.reason is None:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.text.splitlines()
    return "\n".join(lines)


def code_of(name: str) -> list[str]:
    """What stands as code in a document: its spans, and the lines of the blocks that a shell would run."""
    text = read(name)
    blocks = [block for block in blocks_of(text) if block.kind in ("", "sh")]
    lines = [line.partition(" #")[0] for block in blocks for line in block.text.splitlines()]
    return [*_SPAN.findall(_prose_of(text)), *lines]


def links_of(name: str) -> list[str]:
    """Where the links of a document lead."""
    return _LINK.findall(_prose_of(read(name)))


def anchors_of(text: str) -> set[str]:
    """What the headings of a text are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", _prose_of(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def rows_under(name: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading, without the backticks around a cell."""
    lines = iter(read(name).splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            break
    rows: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows[1:]


def _prose_of(text: str) -> str:
    """A text without its fenced blocks."""
    return _FENCE.sub("", text)
