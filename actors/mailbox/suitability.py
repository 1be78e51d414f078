"""Tells whether a server will keep what a mailbox entrusts to it."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec
import redis
from redis.exceptions import NoPermissionError

from ...messages.errors import UnsuitableServer
from .connections import place_of
from .scripts import named_errors

OLDEST_REDIS = (7, 0)
"""The first release whose scripts may settle when the server is full."""

MOST_APART = 5.0
"""Seconds by which the clocks of a server and of this host may differ unsaid."""

NEARLY_FULL = 0.9
"""The part of a server's maxmemory from which on that is worth a word."""

Facts = Mapping[str, Any]
"""What a server tells of itself: the answers of INFO and CONFIG GET by name, as redis-py reads them."""


class Finding(msgspec.Struct, frozen=True):
    """Something about a server that endangers deliveries."""

    severity: Literal["refuse", "warn"]
    """`refuse` when the mailbox would break its promises, `warn` when a crash might."""
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}"


class WarningLog(Protocol):
    """The part of a structlog logger that is asked for here."""

    def warning(self, event: str, **fields: Any) -> Any:
        """Write one line."""
        ...


def ensure_suitable(client: "redis.Redis", log: WarningLog, *, is_kept: bool = False) -> None:
    """Log each warning about a server once, and raise `UnsuitableServer` when it is to be refused.

    `is_kept` tells that a keeper brings its files onto the disk. Call it once for a server, not for each
    connection. Raises what `examine` raises as well.
    """
    findings = examine(client, is_kept=is_kept)
    for finding in findings:
        if finding.severity == "warn":
            log.warning("server_not_ideal", what=finding.what, mend=finding.mend)
    refusals = [str(finding) for finding in findings if finding.severity == "refuse"]
    if refusals:
        raise UnsuitableServer("\n".join(refusals))


def examine(
    client: "redis.Redis", *, is_kept: bool = False, clock: Callable[[], float] = time.time
) -> list[Finding]:
    """All findings about a server, in one round trip; empty when it is as it should be.

    `clock` is this host's, in seconds since the epoch.

    Raises `MailboxUnavailable` when it cannot be reached, `MailboxRefused` for a wrong password.
    """
    asked_at = clock()
    info, config, server_time = _ask(client)
    halfway = (asked_at + clock()) / 2
    if info is None:
        return [Finding("warn", "the server cannot be examined", "permit the INFO command to this user")]
    findings = (
        _version(info),
        _role(info),
        _eviction(info),
        _persistence(info, config, is_kept=is_kept),
        _room(info),
        None if server_time is None else _clocks(server_time - halfway),
    )
    return [finding for finding in findings if finding is not None]


def _ask(client: "redis.Redis") -> tuple[Facts | None, Facts | None, float | None]:
    """What INFO, CONFIG GET and TIME say; None for what the server does not permit."""
    with named_errors(place_of(client.connection_pool)), client.pipeline(transaction=False) as pipeline:
        pipeline.info()
        pipeline.config_get("appendfsync")
        pipeline.config_get("save")
        pipeline.time()
        info, *config, moment = pipeline.execute(raise_on_error=False)
        if isinstance(info, Exception) and not isinstance(info, NoPermissionError):
            raise info
    is_config_told = not any(isinstance(answer, Exception) for answer in config)
    return (
        None if isinstance(info, Exception) else info,
        {name: value for answer in config for name, value in answer.items()} if is_config_told else None,
        None if isinstance(moment, Exception) else moment[0] + moment[1] / 1e6,
    )


def _version(info: Facts) -> Finding | None:
    # Valkey also gives a `redis_version`, that of the Redis it is compatible with.
    version = str(info.get("redis_version", ""))
    parts = version.split(".")[:2]
    if not all(part.isdigit() for part in parts):
        return Finding(
            "warn", f"the server's version {version!r} cannot be read", "see that it is Redis 7.0 or Valkey"
        )
    if tuple(map(int, parts)) < OLDEST_REDIS:
        return Finding(
            "refuse", f"the server is Redis {version}, which is too old", "use Redis 7.0 or later, or Valkey"
        )
    return None


def _role(info: Facts) -> Finding | None:
    if info.get("redis_mode", info.get("server_mode")) == "sentinel":
        return Finding(
            "refuse", "the server is a Sentinel, which keeps no data", "connect to the primary it watches"
        )
    if info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        return Finding(
            "refuse", "the server is a replica, so it takes no writes", f"connect to its primary, {primary}"
        )
    return None


def _eviction(info: Facts) -> Finding | None:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return None
    mend = "set maxmemory-policy to noeviction"
    if info.get("maxmemory", 0):
        return Finding("refuse", f"the server would evict deliveries when it is full ({policy})", mend)
    return Finding("warn", f"the server would evict deliveries ({policy}) if a maxmemory were set", mend)


def _persistence(info: Facts, config: Facts | None, *, is_kept: bool) -> Finding | None:
    if info.get("aof_enabled"):
        if is_kept or config is None or config.get("appendfsync") != "no":
            return None
        return Finding(
            "warn",
            "the server leaves it to the system when deliveries reach the disk (appendfsync no)",
            "set appendfsync to everysec, or to always",
        )
    mend = "set appendonly to yes and appendfsync to everysec"
    if config is None:
        return Finding("warn", "the server keeps no append-only file, and tells nothing of snapshots", mend)
    if config.get("save"):
        return Finding(
            "warn", "the server only takes snapshots: a crash loses what came after the last", mend
        )
    return Finding("warn", "the server keeps nothing on disk: a restart loses every delivery", mend)


def _room(info: Facts) -> Finding | None:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most or used < NEARLY_FULL * most:
        return None
    what = f"the server's memory is full to {used / most:.0%}; when it is full, events are refused at publish"
    return Finding("warn", what, "raise its maxmemory, or let workers drain the queues")


def _clocks(apart: float) -> Finding | None:
    if abs(apart) <= MOST_APART:
        return None
    what = f"the clocks of the server and of this host differ by {abs(apart):.0f} s; ages err by as much"
    return Finding("warn", what, "let both be set by NTP")
