"""What the commands of `callboard dlq` print, as types and in words."""

from collections.abc import Sequence

import msgspec
from rich.console import RenderableType
from rich.markup import escape

from ..actors.dead_letters import DeadGroup, Mended
from .event_shown import EndedShown
from .moments import shown_moment
from .tables import table


class Listed(msgspec.Struct, frozen=True):
    """What `callboard dlq list` prints."""

    groups: tuple[DeadGroup, ...]
    letters: tuple[EndedShown, ...]
    """Filled with `--each`, and the groups are empty then."""
    warnings: tuple[str, ...]
    """A line for each queue that will soon forget."""


def drawn_groups(groups: Sequence[DeadGroup]) -> RenderableType:
    """A table of groups, a line each."""
    rows = [
        (
            escape(each.actor),
            each.reason or "-",
            escape(each.error) or "-",
            each.fingerprint or "-",
            shown_moment(each.first_at),
            shown_moment(each.last_at),
            escape(each.example),
            each.count,
        )
        for each in groups
    ]
    columns = ("actor", "reason", "error", "fingerprint", "first dead", "last dead", "one of them", "letters")
    return table(columns, rows, texts=7)


def drawn_mended(what: str, mended: Mended) -> str:
    """What a replay or a discard has come to, in a line."""
    ended = {"replay": "replayed", "discard": "discarded"}[what]
    waits = "".join(
        f"; {each} is paused: callboard queue resume {each} lets them go on" for each in mended.paused
    )
    if mended.dry_run:
        return f"{counted(mended.matched)} would be {ended}{waits}"
    left = {
        "left dead, for they live again or were completed (duplicate)": mended.duplicate,
        "left dead, for their keys stand for other bodies by now (conflict)": mended.conflict,
        "mended by another run": mended.already,
        "forgotten": mended.gone,
    }
    rest = "".join(f"; {count:,} {words}" for words, count in left.items() if count)
    return f"{mended.done:,} of {mended.matched:,} dead letters are {ended}{rest}{waits}"


def counted(letters: int) -> str:
    """So many dead letters, in words."""
    return f"{letters:,} dead letter{'' if letters == 1 else 's'}"
