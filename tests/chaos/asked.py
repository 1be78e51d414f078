"""What is asked of a process of the load: a file with its name, which it finds and takes away."""

from pathlib import Path

FOLDER = "asked"

CLOCK = "clock"
"""Of a worker: go by a clock that is so many seconds ahead."""

CROWD = "crowd"
"""Of a publisher: let many publish the same event at a time."""


def ask(folder: Path, what: str, member: str, how: str = "") -> None:
    """Ask something of a process; asked again before it has looked, the later counts."""
    begun = folder / f"{what} for {member}, in writing"
    begun.write_text(how, "utf-8")
    begun.rename(folder / f"{what} for {member}")


def take(folder: Path, what: str, member: str) -> str | None:
    """How it was asked, once; None if it was not."""
    there = folder / f"{what} for {member}"
    try:
        how = there.read_text("utf-8")
        there.unlink()
    except FileNotFoundError:
        return None
    return how
