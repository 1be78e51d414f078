"""Who does what on a server: the scripts that each role runs, and the commands that they take."""

import re
from functools import cache
from typing import Literal

from .scripts import Script

Role = Literal["worker", "publisher", "reader", "operator"]

_SHOWS = ("info", "find", "related", "page", "record", "gauges", "scheduled", "told")
"""For who looks; a worker can do its work without."""

_LOOKS = (*_SHOWS, "items-read", "routes")

SCRIPTS: dict[Role, tuple[str, ...]] = {
    "worker": (
        *("fetch", "settle", "renew", "register", "heartbeat", "items-write", "tell"),
        *("publish", "cancel", "move"),
        *_LOOKS,
    ),
    "publisher": ("publish", "routes"),
    "reader": _LOOKS,
    "operator": ("pause", "resume", "purge", "replay", "discard", "cancel", "move", *_LOOKS),
}
"""What each role does: a worker's handlers publish, cancel and move as well."""

_READING = """
EXISTS GET HEXISTS HGET HGETALL HKEYS HLEN HMGET HSCAN LLEN LPOS LRANGE MGET SMEMBERS TIME
ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZRANK ZREVRANGEBYSCORE ZSCORE
"""

_PUBLISHING = """
EXISTS GET HGET HGETALL HINCRBY HSET PEXPIREAT RPUSH SADD TIME ZADD ZCOUNT ZRANGE ZRANGEBYSCORE
"""

_MENDING = """
DEL HDEL HINCRBY HSET INCR LPOP LPUSH LREM PERSIST PEXPIRE PEXPIREAT RENAME RPUSH SADD UNLINK ZADD ZREM
"""

READS = frozenset(_READING.split())
"""Commands that change nothing. Those who only look have them all, and no other."""

_PUBLISHES = frozenset(_PUBLISHING.split())

_MENDS = READS | frozenset(_MENDING.split())

_WORKS = (_MENDS - {"PERSIST"}) | {"BLPOP", "LTRIM", "SET", "ZREMRANGEBYSCORE"}

BY_ITSELF = frozenset({"EVAL", "EVALSHA", "INFO"})
"""What every role sends: its scripts, and the question what server this is."""

COMMANDS: dict[Role, frozenset[str]] = {
    "worker": _WORKS | BY_ITSELF,
    "publisher": _PUBLISHES | BY_ITSELF,
    "reader": READS | BY_ITSELF,
    "operator": _MENDS | BY_ITSELF,
}
"""All that a role sends, by itself or in its scripts; a test derives it from the scripts."""

WAITS = "BLPOP"
"""What a worker sends by itself, when it has nothing to do."""

_CALLS = re.compile(r"(?:call|in_slices|write_if_any|redis\.pcall)\('([A-Z]+)'")
"""How a script names the commands that it runs."""


@cache
def named_in(script: str) -> frozenset[str]:
    """Every command that a script names, by its text."""
    return frozenset(_CALLS.findall(Script(script).text))


def steps_with(role: Role, commands: frozenset[str]) -> tuple[str, ...]:
    """The steps of a role that take one of these commands, in the order of `SCRIPTS`."""
    needs_all = commands & {"EVAL", "EVALSHA"}
    steps = tuple(script for script in SCRIPTS[role] if needs_all or commands & named_in(script))
    return (*steps, "wait") if WAITS in commands else steps


def is_idle_without(role: Role, steps: tuple[str, ...]) -> bool:
    """Whether a role cannot do its part without these steps; a worker only shows less without some."""
    return bool(steps if role != "worker" else set(steps) - set(_SHOWS))
