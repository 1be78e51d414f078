"""One round: a server, a proxy, workers and publishers, a schedule of faults, and what was seen of it."""

import random
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

import msgspec
import redis

from callboard.messages.errors import MailboxError
from tests.servers import Kind, Server, start_server

from .asked import FOLDER as ASKED
from .callboard_side import CallboardSight
from .crew import LOGS, Crew
from .dramatiq_side import DramatiqSight
from .effects import FOLDER, TRAPS, read_effects
from .faults import TRAP_POINTS, Fault, schedule
from .gathered import disturbances, publishes
from .history import History, read_history
from .load import CURTAIN, USER, Place
from .observed import Observed
from .process_faults import look_at_traps, remove_traps, set_trap
from .proxy import Proxy
from .pulse import Pulse
from .scene import Scene
from .server_faults import ALLOWED
from .trouble import Timeline, plan

LOOK_SECONDS = 0.02
SAMPLE_SECONDS = 0.25
COMES_UP_WITHIN = 20.0
PUBLISHERS_END_WITHIN = 30.0

SYNC = ("always", "everysec", "no")
"""When the server's file is brought onto the disk; none of it may matter to a server that is killed."""


class Plan(msgspec.Struct, frozen=True):
    """What a round is made of."""

    seed: int
    side: Literal["callboard", "dramatiq"] = "callboard"
    server: Kind = "valkey"
    seconds: float = 3.0
    """How long the load and the faults go on."""
    lease_ms: int = 400
    workers: int = 3
    threads: int = 4
    publishers: int = 2
    away: float = 0.0
    """Seconds for which the server is away, once, besides all else; 0 for not at all."""
    stopped: float = 0.0
    """Seconds for which the server stands still, once, in the same way."""
    kills: int = 0
    """Workers killed in turn, each in a handler while all others work, in place of the schedule of faults."""
    patience: float = 20.0
    """Seconds after the load in which everything must have come to rest."""


class Played(msgspec.Struct, frozen=True):
    """A round that was played."""

    plan: Plan
    seen: Observed
    faults: tuple[str, ...]
    """Those that were made."""
    rest_seconds: float
    """From the end of the load until nothing was left to do, or patience ended."""
    directory: Path
    """What it left behind, to be removed by whoever has no use for it."""


class _Stage:
    """Everything that runs in a round."""

    def __init__(self, plan: Plan, directory: Path, held: ExitStack) -> None:
        for folder in (LOGS, FOLDER, TRAPS, ASKED):
            (directory / folder).mkdir()
        self.plan = plan
        self.history = held.enter_context(closing(History(directory)))
        # Each with either kind of server.
        sync = SYNC[plan.seed // 3 % len(SYNC)]
        user = ("--user", USER, "on", "nopass", "&*", *ALLOWED)
        self.server: Server = start_server(plan.server, directory / "s", "--appendfsync", sync, *user)
        held.callback(self.server.kill)
        held.enter_context(Pulse(self.server.url, self.history))
        upstream = Path(self.server.url.removeprefix("unix://"))
        self.crew = Crew(directory, self._place)
        self.proxy = Proxy(directory / "proxy.sock", upstream, self._cut)
        self.proxy.start()
        held.callback(self.proxy.close)
        held.enter_context(self.crew)
        sight = CallboardSight if plan.side == "callboard" else DramatiqSight
        self.sight = held.enter_context(closing(sight(self.server.url)))
        self.timeline = Timeline()
        self.scene = Scene(
            self.server,
            self.proxy,
            self.crew,
            self.history,
            directory / TRAPS,
            directory / ASKED,
            self.sight.calls(),
            self.timeline.later,
            held.enter_context(closing(redis.Redis.from_url(self.server.url, socket_timeout=5))),
        )
        self.made: list[str] = []
        self.uneven: list[str] = []
        self._directory = directory
        self._sample_at = 0.0

    def play(self) -> float:
        """Play the round; seconds from the end of the load until rest."""
        self.crew.hire("worker", self.plan.workers)
        self.crew.hire("publisher", self.plan.publishers)
        self._await_load()
        if self.plan.kills:
            self._kill_in_turn()
        else:
            self._make_faults()
        (self._directory / CURTAIN).touch()
        self.proxy.disarm()
        remove_traps(self.scene)
        return self._come_to_rest()

    def _make_faults(self) -> None:
        began = time.monotonic()
        self.made = plan(self.timeline, self.scene, began, self._faults())
        while time.monotonic() < began + self.plan.seconds or self.timeline:
            self._go_on()

    def _kill_in_turn(self) -> None:
        dice = random.Random(self.plan.seed)  # noqa: S311 - it must be the same again
        for _ in range(self.plan.kills):
            self._go_on_until(self._all_work, "a worker that begins")
            for _ in range(dice.randrange(round(2 * self.plan.lease_ms / 1000 / LOOK_SECONDS))):
                self._go_on()
            fault = Fault(0.0, "trap", 0.0, 0, dice.choice(TRAP_POINTS))
            set_trap(self.scene, fault)
            self.made.append(fault.name)
            self._go_on_until(lambda: not any(self.scene.traps.iterdir()), "a handler in the trap")

    def _go_on_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + COMES_UP_WITHIN
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {COMES_UP_WITHIN} s for {what}: see the logs")
            self._go_on()

    def _all_work(self) -> bool:
        """Whether the server knows every worker that runs now."""
        known = {int(worker.owner.split(":")[1]) for worker in self.sight.info().workers}
        return {member.process.pid for member in self.crew.of("worker")} <= known

    def _go_on(self) -> None:
        self._look_around()
        self.crew.replace("publisher")
        time.sleep(LOOK_SECONDS)

    def _faults(self) -> list[Fault]:
        middle = self.plan.seconds / 2
        faults = schedule(self.plan.seed, self.plan.seconds, self.plan.lease_ms / 1000)
        if self.plan.away:
            faults.append(Fault(middle, "kill server", self.plan.away, 0, "long"))
        if self.plan.stopped:
            faults.append(Fault(middle, "stop server for long", self.plan.stopped, 0, "longer"))
        return faults

    def _await_load(self) -> None:
        """Wait until workers work on what publishers publish."""
        deadline = time.monotonic() + COMES_UP_WITHIN
        while not read_effects(self._directory)[0]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing was done in {COMES_UP_WITHIN} s: see the logs")
            time.sleep(LOOK_SECONDS)

    def _come_to_rest(self) -> float:
        began = time.monotonic()
        while time.monotonic() < began + self.plan.patience:
            self._look_around()
            if not self.crew.of("publisher") and self._is_at_rest():
                break
            time.sleep(LOOK_SECONDS)
        if not self.crew.wait("publisher", PUBLISHERS_END_WITHIN):
            raise RuntimeError("a publisher does not end")
        took = time.monotonic() - began
        look_at_traps(self.scene)
        self.crew.dismiss("worker")
        return took

    def _look_around(self) -> None:
        self.timeline.do_due()
        look_at_traps(self.scene)
        self.crew.replace("worker")
        self._sample()

    def _is_at_rest(self) -> bool:
        try:
            return self.sight.at_rest()
        except MailboxError:
            return False

    def _sample(self) -> None:
        """At any moment, what was accepted is somewhere."""
        now = time.monotonic()
        if not self.scene.server_well or now < self._sample_at:
            return
        self._sample_at = now + SAMPLE_SECONDS
        try:
            queues = self.sight.info().queues
        except MailboxError:
            return  # a connection that was opened before the server was killed
        for queue in queues:
            if queue.live + queue.ended != queue.accepted:
                self.uneven.append(
                    f"{queue.queue}: {queue.accepted} accepted, but {queue.live} there + {queue.ended} ended"
                )

    def _place(self, name: str) -> Place:
        return Place(
            side=self.plan.side,
            url=self.proxy.url.replace("unix://", f"unix://{USER}@"),
            member=name,
            directory=str(self._directory),
            lease_ms=self.plan.lease_ms,
            threads=self.plan.threads,
            seed=self.plan.seed,
        )

    def _cut(self, pid: int, at: float) -> None:
        self.history.fault("cut", pid=pid, member=self.crew.names.get(pid), start=at, end=at)


def play(plan: Plan) -> Played:
    """Play one round. Whatever it started has ended when it returns, or raises."""
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        with ExitStack() as held:
            stage = _Stage(plan, directory, held)
            rest_seconds = stage.play()
            runs, stalls = read_effects(directory)
            lines = read_history(directory)
            seen = Observed(
                publishes=tuple(publishes(lines)),
                runs=tuple(runs),
                disturbances=tuple(disturbances(lines, stalls)),
                records=tuple(stage.sight.records()),
                queues=stage.sight.info().queues,
                uneven=tuple(stage.uneven),
            )
    except Exception as error:
        error.add_note(f"what the round left behind is in {directory}")
        raise
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Played(plan, seen, tuple(stage.made), rest_seconds, directory)
