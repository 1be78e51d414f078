"""An app given to a command that takes none, or a server to one that asks its app: where it belongs."""

import re

from cyclopts import CycloptsError, UnknownOptionError, UnusedCliTokensError

ASK_THEIR_APP = {"run", "send"}
"""Commands whose mailbox is the app's own."""

OF_A_PLACE = {"--url", "--home", "--workspace"}
"""What the other commands are told of a mailbox."""


def where_it_belongs(error: CycloptsError) -> str | None:
    """The mend for a command line that asks for what another command takes; None for other faults."""
    name = " ".join(error.command_chain or ())
    if isinstance(error, UnusedCliTokensError) and any(map(_is_app, error.unused_tokens or ())):
        return (
            f"callboard {name} takes no app, only the mailbox's place: "
            "--url and --workspace, or CALLBOARD_URL and CALLBOARD_WORKSPACE"
        )
    if isinstance(error, UnknownOptionError) and name in ASK_THEIR_APP and error.token.keyword in OF_A_PLACE:
        word = error.token.keyword.removeprefix("--")
        return (
            f"callboard {name} asks the app where its mailbox is: set CALLBOARD_{word.upper()}, "
            f"write {word} = ... in callboard.toml, or {word}=... in Callboard(...)"
        )
    return None


def _is_app(token: object) -> bool:
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", str(token)) is not None
