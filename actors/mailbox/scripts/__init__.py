"""The mailbox's Lua scripts, and how they are run so that every error has a name."""

import hashlib
from functools import partial
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from ....messages.errors import MailboxRefused, MailboxUnavailable
from ....middleware.server_errors import named_errors as name_errors
from ..connections import Argument, Connections
from ..keys import lua_names

READING = (
    "info",
    "find",
    "related",
    "page",
    "record",
    "gauges",
    "items-read",
    "scheduled",
    "told",
    "permitted",
)
TAKING_IN = ("publish", "register", "replay")

FLAGS = dict.fromkeys(READING, "flags=no-writes") | dict.fromkeys(TAKING_IN, "")
"""A full server takes nothing new in, but whatever drains it or keeps a promise must go on."""

ALLOWED_WHEN_FULL = "flags=allow-oom"

PARTS = {
    "publish": ("base", "done", "aliases", "correlating", "arriving"),
    "fetch": ("base", "done", "aliases", "lanes", "ending", "choosing"),
    "settle": ("base", "done", "aliases", "correlating", "lanes", "ending", "arriving"),
    "purge": ("base", "done", "lanes", "ending"),
    "register": ("base", "lanes"),
    "info": ("base", "lanes"),
    "replay": ("base", "done", "aliases", "arriving", "mending"),
    "discard": ("base", "done", "aliases", "lanes", "ending", "mending"),
    "cancel": ("base", "done", "aliases", "lanes", "ending", "withdrawing"),
    "move": ("base", "done", "aliases", "lanes", "ending", "withdrawing"),
    "find": ("base", "done", "aliases", "lanes", "recorded"),
    "related": ("base", "done", "aliases", "correlating"),
    "page": ("base", "recorded"),
    "record": ("base", "recorded"),
    "permitted": (),
}
"""What goes before a script, and no more: the server runs through all of it at each call."""


named_errors = partial(name_errors, MailboxUnavailable, MailboxRefused)
"""Turn the client's errors into `MailboxUnavailable` and `MailboxRefused`; told the server's place."""


class Script:
    """One Lua script of the mailbox, run by its digest."""

    def __init__(self, name: str) -> None:
        here = files(__package__)
        parts = [(here / f"{part}.lua").read_text("utf-8") for part in (*PARTS.get(name, ("base",)), name)]
        flags = f"#!lua {FLAGS.get(name, ALLOWED_WHEN_FULL)}".rstrip()
        self.text = "\n".join([flags, lua_names("\n".join(parts)), *parts])
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, connections: Connections, root: str, arguments: list[Argument]) -> Any:
        """Run it on the workspace of `root`; raises `MailboxUnavailable` or `MailboxRefused`."""
        with named_errors(connections.place):
            try:
                return connections.call("EVALSHA", self.digest, 1, root, *arguments)
            except NoScriptError:
                return connections.call("EVAL", self.text, 1, root, *arguments)
