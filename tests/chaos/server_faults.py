"""Faults that happen to the server, and so to everybody."""

import time

from .faults import Fault
from .scene import Scene

NOWHERE = ("127.0.0.1", "1")
"""A primary that nobody can reach: a server told to follow it is read-only and keeps what it has."""

FLUSH_SECONDS = 0.05
TRY_AGAIN_SECONDS = 0.05


def kill_server(scene: Scene, fault: Fault) -> bool:
    """SIGKILL; after a while it is started again on what it has written."""
    if not scene.server_well:
        return False
    start = time.monotonic()
    scene.server_well = False
    scene.server.kill()

    def start_again() -> None:
        scene.server.restart()
        scene.server_well = True
        scene.tell(fault, start)

    scene.later(fault.seconds, start_again)
    return True


def stop_server(scene: Scene, fault: Fault) -> bool:
    """SIGSTOP, then SIGCONT."""
    if not scene.server_well:
        return False
    start = time.monotonic()
    scene.server_well = False
    scene.server.pause()

    def go_on() -> None:
        scene.server.resume()
        scene.server_well = True
        scene.tell(fault, start)

    scene.later(fault.seconds, go_on)
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
