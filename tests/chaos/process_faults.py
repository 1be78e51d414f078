"""Faults that happen to one process: its end, a stop, and what becomes of its connections."""

import signal
import time

from .asked import CLOCK, CROWD, ask
from .crew import Role
from .faults import TRAP_POINTS, Fault
from .scene import Scene

HOUR = 3600


def kill_worker(scene: Scene, fault: Fault) -> bool:
    """SIGKILL to a worker."""
    return _send(scene, fault, "worker", signal.SIGKILL)


def kill_publisher(scene: Scene, fault: Fault) -> bool:
    """SIGKILL to a publisher."""
    return _send(scene, fault, "publisher", signal.SIGKILL)


def end_worker(scene: Scene, fault: Fault) -> bool:
    """SIGTERM to a worker: what it holds it must finish, or give back uncharged."""
    return _send(scene, fault, "worker", signal.SIGTERM)


def stop_worker(scene: Scene, fault: Fault) -> bool:
    """SIGSTOP to a worker for longer than its lease, then SIGCONT."""
    if (member := scene.pick("worker", fault)) is None:
        return False
    start = time.monotonic()
    member.signal(signal.SIGSTOP)

    def go_on() -> None:
        member.signal(signal.SIGCONT)
        scene.tell(fault, start, member)

    scene.later(fault.seconds, go_on)
    return True


def set_trap(scene: Scene, fault: Fault) -> bool:
    """The first handler that reaches a point is killed there, with its worker."""
    (scene.traps / fault.point).touch()
    return True


def look_at_traps(scene: Scene) -> None:
    """Write down who was killed by a trap."""
    for trap in scene.traps.glob("* of *"):
        victim = trap.name.partition(" of ")[2]
        now = time.monotonic()
        scene.history.fault("trap", member=victim, start=now, end=now)
        trap.unlink()


def remove_traps(scene: Scene) -> None:
    """Take away the traps that nobody walked into."""
    for point in TRAP_POINTS:
        (scene.traps / point).unlink(missing_ok=True)


def cut(scene: Scene, fault: Fault) -> bool:
    """The next request of a kind reaches the server, and its reply is lost with the connection.

    Who is hit is written down when it happens.
    """
    scene.proxy.cut(scene.calls.get(fault.point, b"EVALSHA"))
    return True


def refuse(scene: Scene, fault: Fault) -> bool:
    """The next request of a kind is refused, and no other."""
    scene.proxy.refuse(scene.calls.get(fault.point, b"EVALSHA"))
    return True


def reset(scene: Scene, fault: Fault) -> bool:
    """All connections of a worker break."""
    if (member := scene.pick("worker", fault)) is None:
        return False
    start = time.monotonic()
    scene.proxy.reset(member.process.pid)
    scene.tell(fault, start, member)
    return True


def black_hole(scene: Scene, fault: Fault) -> bool:
    """For a while, what a worker sends or is sent vanishes."""
    if (member := scene.pick("worker", fault)) is None:
        return False
    start = time.monotonic()
    scene.proxy.black_hole(member.process.pid, fault.seconds)
    scene.later(fault.seconds, lambda: scene.tell(fault, start, member))
    return True


def set_clock(scene: Scene, fault: Fault) -> bool:
    """The clock of a worker's machine is set wrong by an hour, and stays so."""
    if (member := scene.pick("worker", fault)) is None:
        return False
    seconds = HOUR if fault.point == "an hour ahead" else -HOUR
    ask(scene.asked, CLOCK, member.name, f"{seconds}")
    scene.tell(fault, time.monotonic(), member)
    return True


def call_crowd(scene: Scene, fault: Fault) -> bool:
    """Fifty publish one and the same event at a time."""
    if (member := scene.pick("publisher", fault)) is None:
        return False
    ask(scene.asked, CROWD, member.name)
    scene.tell(fault, time.monotonic(), member)
    return True


def _send(scene: Scene, fault: Fault, role: Role, number: signal.Signals) -> bool:
    if (member := scene.pick(role, fault)) is None:
        return False
    start = time.monotonic()
    member.signal(number)
    scene.tell(fault, start, member)
    return True
