"""Who gives a command, and whether they mean it."""

import getpass
import socket
import sys
from difflib import get_close_matches
from typing import Annotated

from cyclopts import Parameter

from ..actors.mailbox.mailbox import Mailbox
from ..messages.errors import CallboardError, ConfigurationError
from .exits import NotThere, complain

Yes = Annotated[bool, Parameter(alias="-y", negative="", show_default=False, help="Do it without asking.")]
"""The option that every command which destroys something has."""

DryRun = Annotated[
    bool, Parameter(negative="", show_default=False, help="Tell what would be done, and do nothing.")
]

By = Annotated[str | None, Parameter(help="Who does it [default: you, at this machine].")]


class NotWanted(CallboardError):
    """Raised when the answer to "do you mean it?" is anything but yes."""


def consent(question: str, *, yes: bool) -> None:
    """Go on only if it is meant; raises `NotWanted`, or `ConfigurationError` where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} Nobody is here to be asked: say --yes, or see with --dry-run")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotWanted("nothing was done")


def who(said: str | None = None) -> str:
    """The name under which what is done is kept."""
    if said is not None:
        return said
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"  # a container need not know its users by name
    return f"{user}@{socket.gethostname()}"


def doubt_actor(mailbox: Mailbox, name: str | None) -> None:
    """Say on stderr that nobody registered an actor of whom nothing was found: it may be misspelt."""
    known = [each.actor for each in mailbox.routes().subscriptions]
    if name and name not in known:
        near = get_close_matches(name, known, n=1)
        complain(f"no actor {name!r} is registered{f': did you mean {near[0]}?' if near else ''}")


def known_queues(mailbox: Mailbox, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The queues of these names, or all that a mailbox has or a worker has registered actors for.

    Raises `NotThere`, naming the nearest, for those that are neither.
    """
    used = {queue.queue for queue in mailbox.info().queues}
    known = sorted(used | {each.queue for each in mailbox.routes().subscriptions})
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            there = f"there are {', '.join(known)}" if known else "there is none yet"
            raise NotThere(f"no queue is named {name!r}: {f'did you mean {near[0]}?' if near else there}")
    return tuple(dict.fromkeys(names)) or tuple(known)
