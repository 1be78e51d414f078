"""Tells whether a server will keep what a mailbox entrusts to it."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import redis
from redis.exceptions import NoPermissionError

from ...messages.errors import UnsuitableServer
from .connections import place_of
from .findings import Finding, finding
from .infos import WorkerInfo
from .scripts import named_errors

OLDEST_REDIS = (7, 0)
"""The first release whose scripts may settle when the server is full."""

MOST_APART = 5.0
"""Seconds by which the clocks of a server and of this host may differ unsaid."""

NEARLY_FULL = 0.9
"""The part of a server's maxmemory from which on that is worth a word."""

ALL_THE_SAME = "To start all the same: callboard run --force, or CALLBOARD_FORCE=true."

Facts = Mapping[str, Any]
"""What a server tells of itself: the answers of INFO and CONFIG GET by name, as redis-py reads them."""


class Log(Protocol):
    """The part of a structlog logger that is asked for here."""

    def info(self, event: str, **fields: Any) -> Any:
        """Write one line."""
        ...

    def warning(self, event: str, **fields: Any) -> Any:
        """Write one line."""
        ...

    def error(self, event: str, **fields: Any) -> Any:
        """Write one line."""
        ...


def ensure_suitable(
    client: "redis.Redis", log: Log, *, is_kept: bool = False, is_forced: bool = False
) -> None:
    """Log each finding about a server once, and raise `UnsuitableServer` for those that stop a start.

    `is_kept` tells that a keeper brings its files onto the disk; `is_forced` that what stops a start is to
    be logged as an error instead. Call it once for a server, not for each connection. Raises what `examine`
    raises as well.
    """
    act_on(examine(client, is_kept=is_kept), log, is_forced=is_forced)


def act_on(findings: Sequence[Finding], log: Log, *, is_forced: bool) -> None:
    """Log each finding once, and raise `UnsuitableServer` for those that stop a start unless it is forced."""
    stopping = [found for found in findings if found.severity == "stops"]
    lines = {"note": log.info, "warns": log.warning, "stops": log.error}
    for found in findings:
        if found.severity != "stops" or is_forced:
            told = {"kind": found.kind, "what": found.what, "loses": found.loses, "mend": found.mend}
            lines[found.severity]("server_not_ideal", **told)
    if stopping and not is_forced:
        raise UnsuitableServer("\n".join([*map(str, stopping), ALL_THE_SAME]))


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
    clocks = (
        not_known("the server's clock", "TIME") if server_time is None else _clocks(server_time - halfway)
    )
    if info is None:
        found = [not_known("what server it is and what it keeps", "INFO"), clocks]
    else:
        persistence = _persistence(info, config, is_kept=is_kept)
        found = [
            _version(info),
            _role(info),
            _cluster(info),
            _eviction(info),
            persistence,
            _room(info),
            clocks,
        ]
    return [each for each in found if each is not None]


def mixed_versions(workers: Iterable[WorkerInfo]) -> Finding | None:
    """What is to be said when the workers of a workspace run more than one version of Callboard."""
    owners: dict[str, int] = {}
    for worker in workers:
        told = worker.version or "one that tells none"
        owners[told] = owners.get(told, 0) + 1
    if len(owners) <= 1:
        return None
    counts = ", ".join(f"{told} ({count})" for told, count in sorted(owners.items()))
    return finding("versions-mixed", f"workers run more than one version of Callboard: {counts}")


def not_known(what: str, command: str) -> Finding:
    return finding(
        "not-known",
        f"{what}: the server does not tell this user by {command}",
        mend=f"look as a user who may run {command}",
    )


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
        return finding("version-not-read", f"the server's version {version!r} cannot be read")
    if tuple(map(int, parts)) < OLDEST_REDIS:
        return finding("too-old", f"the server is Redis {version}, which is too old")
    return None


def _role(info: Facts) -> Finding | None:
    if info.get("redis_mode", info.get("server_mode")) == "sentinel":
        return finding("sentinel", "the server is a Sentinel, which keeps no data")
    if info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        return finding("replica", "the server is a replica", mend=f"connect to its primary, {primary}")
    return None


def _cluster(info: Facts) -> Finding | None:
    # All keys of a workspace share a hash tag, so its scripts work on the one node that has them.
    if not info.get("cluster_enabled"):
        return None
    return finding("cluster", "the server is a node of a cluster, and each workspace is on one node of it")


def _eviction(info: Facts) -> Finding | None:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return not_known("what the server does when it is full", "INFO")
    if policy == "noeviction":
        return None
    if info.get("maxmemory", 0):
        return finding("evicts", f"the server would evict deliveries when it is full ({policy})")
    return finding("would-evict", f"the server would evict deliveries ({policy}) if a maxmemory were set")


def _persistence(info: Facts, config: Facts | None, *, is_kept: bool) -> Finding | None:
    if "aof_enabled" not in info:
        return not_known("what the server keeps on disk", "INFO")
    if info["aof_enabled"]:
        return None if is_kept else _fsync(config)
    if config is None:
        return finding(
            "snapshots-not-known", "the server keeps no append-only file, and tells nothing of snapshots"
        )
    if config.get("save"):
        return finding("snapshots-only", "the server only takes snapshots")
    return finding("nothing-kept", "the server keeps nothing on disk")


def _fsync(config: Facts | None) -> Finding | None:
    if config is None:
        return not_known("how often the append-only file reaches the disk", "CONFIG GET")
    if config.get("appendfsync") != "no":
        return None
    what = "the server leaves it to the system when deliveries reach the disk (appendfsync no)"
    return finding("fsync-left", what)


def _room(info: Facts) -> Finding | None:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most or used < NEARLY_FULL * most:
        return None
    return finding("nearly-full", f"the server's memory is full to {used / most:.0%}")


def _clocks(apart: float) -> Finding | None:
    if abs(apart) <= MOST_APART:
        return None
    return finding("clocks-differ", f"the clocks of the server and of this host differ by {abs(apart):.0f} s")
