"""Who does what on a server: the scripts that each role runs, and the commands that they take."""

from typing import Literal

Role = Literal["worker", "publisher", "reader", "operator"]

_LOOKS = ("info", "find", "related", "page", "record", "gauges", "items-read", "scheduled", "told", "routes")

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
