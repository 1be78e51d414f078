"""Faults that happen to the server, and so to everybody."""

import time
from collections.abc import Callable

import redis

from .faults import Fault
from .load import USER
from .scene import Scene

NOWHERE = ("127.0.0.1", "1")
"""A primary that nobody can reach: a server told to follow it is read-only and keeps what it has."""

FLUSH_SECONDS = 0.05
TRY_AGAIN_SECONDS = 0.05

FORBIDDEN = {"commands": "-@all", "writes": "-@write", "keys": "resetkeys"}
"""What an operator's slip takes from the user of the load; all of them forbid the first write of a script
already, so that none is torn."""

ALLOWED = ("+@all", "~*")

SLOWLY = ("--key-load-delay", "1")
"""Sleep between commands when reading the file, some 60 us each: what it has written in a few seconds is
then loaded as slowly as a large data set, and commands are answered with LOADING meanwhile."""

SYNCED_WITHIN = 20.0


def kill_server(scene: Scene, fault: Fault) -> bool:
    """SIGKILL; after a while it is started again on what it has written."""
    return scene.server_well and _kill(scene, fault)


def load_server(scene: Scene, fault: Fault) -> bool:
    """SIGKILL; when it is started again it takes its time to load what it has written."""
    return scene.server_well and _kill(scene, fault, *SLOWLY)


def stop_server(scene: Scene, fault: Fault) -> bool:
    """SIGSTOP, then SIGCONT."""
    if not scene.server_well:
        return False
    _take_away(scene, fault, scene.server.pause, scene.server.resume)
    return True


def flush_scripts(scene: Scene, fault: Fault) -> bool:
    """Forget all scripts, again and again."""
    start = time.monotonic()

    def flush() -> None:
        if scene.server_well:
            scene.client.execute_command("SCRIPT", "FLUSH")
        if time.monotonic() < start + fault.seconds:
            scene.later(FLUSH_SECONDS, flush)
        else:
            scene.tell(fault, start)

    flush()
    return True


def fill(scene: Scene, fault: Fault) -> bool:
    """The server has no memory left for anything new."""
    return _for_a_while(
        scene, fault, ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")
    )


def make_read_only(scene: Scene, fault: Fault) -> bool:
    """The server follows another, as after a failover, and takes no writes."""
    return _for_a_while(scene, fault, ("REPLICAOF", *NOWHERE), ("REPLICAOF", "NO", "ONE"))


def forbid(scene: Scene, fault: Fault) -> bool:
    """The user of the load may not do what it must: NOPERM."""
    make = ("ACL", "SETUSER", USER, FORBIDDEN[fault.point])
    return _for_a_while(scene, fault, make, ("ACL", "SETUSER", USER, *ALLOWED))


def await_synced(client: redis.Redis) -> None:
    """Return when the server has handed to the system all that it acknowledged.

    With `appendfsync everysec` it holds back what it writes while the disk is busy with an earlier sync,
    and acknowledges it all the same. Killed then, it loses that: its promise, and not Callboard's.
    """
    give_up_at = time.monotonic() + SYNCED_WITHIN
    while client.info("persistence").get("aof_pending_bio_fsync"):
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"the server's disk was busy for {SYNCED_WITHIN} s")
        time.sleep(0.001)


def _kill(scene: Scene, fault: Fault, *options: str) -> bool:
    await_synced(scene.client)
    _take_away(scene, fault, scene.server.kill, lambda: scene.server.restart(*options))
    return True


def _take_away(scene: Scene, fault: Fault, take: Callable[[], None], give_back: Callable[[], None]) -> None:
    """Nobody is answered for a while."""
    start = time.monotonic()
    scene.server_well = False
    take()

    def go_on() -> None:
        give_back()
        scene.server_well = True
        scene.tell(fault, start)

    scene.later(fault.seconds, go_on)


def _for_a_while(scene: Scene, fault: Fault, make: tuple[str, ...], mend: tuple[str, ...]) -> bool:
    if not scene.server_well:
        return False
    start = time.monotonic()
    scene.client.execute_command(*make)

    def undo() -> None:
        # A restart mends it too, but only one that comes after it.
        if not scene.server_well:
            scene.later(TRY_AGAIN_SECONDS, undo)
            return
        scene.client.execute_command(*mend)
        scene.tell(fault, start)

    scene.later(fault.seconds, undo)
    return True
