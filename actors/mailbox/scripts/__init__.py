"""The mailbox's Lua scripts, and how they are run so that every error has a name."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - redis has errors of its own by these names
    NoPermissionError,
    NoScriptError,
    RedisError,
    TimeoutError,  # noqa: A004
)

from ....messages.errors import MailboxRefused, MailboxUnavailable
from ..connections import Argument, Connections
from ..keys import lua_names

FLAGS = {"publish": "", "register": "", "info": "flags=no-writes"}
"""A full server takes nothing new in, but whatever drains it or keeps a promise must go on."""

ALLOWED_WHEN_FULL = "flags=allow-oom"

PARTS = {
    "publish": ("base", "done", "arriving"),
    "fetch": ("base", "done", "ending"),
    "settle": ("base", "done", "ending", "arriving"),
    "purge": ("base", "done", "ending"),
}
"""What goes before a script, and no more: the server runs through all of it at each call."""


@contextmanager
def named_errors() -> Iterator[None]:
    """Turn the client's errors into `MailboxUnavailable` and `MailboxRefused`."""
    try:
        yield
    except (AuthenticationError, NoPermissionError) as error:
        raise MailboxRefused(f"the server does not permit it ({error}): check the user's ACL") from error
    except (ConnectionError, TimeoutError, OSError) as error:
        raise MailboxUnavailable(f"the server cannot be reached ({type(error).__name__})") from error
    except RedisError as error:
        raise MailboxRefused(f"the server refused it: {error}") from error


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
        with named_errors():
            try:
                return connections.call("EVALSHA", self.digest, 1, root, *arguments)
            except NoScriptError:
                return connections.call("EVAL", self.text, 1, root, *arguments)
