"""The store's Lua scripts: one for each transition of a key, so that each is atomic."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from ...connections import Argument, Connections

FLAGS = {"claim": "#!lua"}
"""A full server takes no new claims in, but whoever holds one must be able to keep it and let it go."""

ALLOWED_WHEN_FULL = "#!lua flags=allow-oom"


class Script:
    """One script, run by its digest."""

    def __init__(self, name: str) -> None:
        here = files(__package__)
        parts = [(here / f"{part}.lua").read_text("utf-8") for part in ("base", name)]
        self.text = "\n".join([FLAGS.get(name, ALLOWED_WHEN_FULL), *parts])
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, connections: Connections, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run it on some keys; raises what the client raises."""
        words = (len(keys), *keys, *arguments)
        try:
            return connections.call("EVALSHA", self.digest, *words)
        except NoScriptError:
            return connections.call("EVAL", self.text, *words)
