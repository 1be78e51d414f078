"""Plays the demo: publishes the plan while the crew works, and ends when nothing waits any more."""

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..actors.app import Callboard
from ..actors.embedded import EmbeddedServer
from ..actors.mailbox.infos import MailboxInfo
from ..actors.mailbox.redis import RedisMailbox
from ..messages.errors import CallboardError
from .board import Scene
from .contracts import OrderPlaced
from .crew import Crew
from .effects import effects_file, read_delays, read_effects
from .plan import ACTORS, Plan
from .verdict import Verdict, judge, percentile, waiting

TICK = 0.1
"""Seconds between two looks."""

READY_WITHIN = 60.0
STANDS_STILL = 20.0
"""Seconds in which nothing succeeds, after which what still waits is missing."""

LATEST = 2000
"""Effects that the live latency is told of."""

KILL_AT = 0.4
"""Kill a worker when this part of all events is published."""

HOLDS_ITS_BREATH = 0.5
"""Seconds without anything new, in which all is done but what a worker that stands still holds."""

Show = Callable[[Scene], None]
Tell = Callable[[str], None]


class DemoStuck(CallboardError):
    """Raised when the workers do not come up."""


class Play:
    """One demo in a directory."""

    def __init__(self, home: Path, plan: Plan, *, workers: int, kill: bool, show: Show, tell: Tell) -> None:
        self._plan = plan
        self._workers = workers
        self._show = show
        self._tell = tell
        self._kill_wanted = kill
        self._server = EmbeddedServer(home)
        workspace = f"demo-{secrets.token_hex(4)}"
        self._mailbox = RedisMailbox(self._server.open(), workspace, revive=self._server.open)
        self._app = Callboard("demo", mailbox=self._mailbox)
        self._app.contract(OrderPlaced)
        self._effects = effects_file(home, workspace)
        self._crew = Crew(home, workspace, self._effects, size=workers)
        self._published = 0
        self._duplicates = 0
        self._rate = Rate()

    @property
    def mailbox(self) -> RedisMailbox:
        """Where it is played; for whoever watches."""
        return self._mailbox

    def run(self) -> Verdict:
        """Play it to its end; raises `DemoStuck` or `CrewLost` when it cannot begin."""
        self._crew.start()
        self._await_workers()
        self._rate = Rate()
        began = time.monotonic()
        lasts = min(6.0, max(0.5, len(self._plan.events) / 150))
        while True:
            elapsed = time.monotonic() - began
            self._publish(until=min(1.0, elapsed / lasts))
            self._look_after_workers()
            info = self._mailbox.info()
            self._show(self._scene(info))
            is_over = self._published == len(self._plan.events) and not waiting(info)
            if is_over or self._rate.still_for() > STANDS_STILL:
                return self._verdict(info, elapsed)
            time.sleep(TICK)

    def close(self) -> None:
        """End the workers, then the server."""
        try:
            self._crew.stop()
        finally:
            self._app.close()
            self._server.close()

    def _await_workers(self) -> None:
        give_up_at = time.monotonic() + READY_WITHIN
        self._tell(f"starting {self._workers} worker(s)")
        while not self._is_ready():
            if time.monotonic() > give_up_at:
                raise DemoStuck(
                    f"the workers do not come up within {READY_WITHIN:g} s: name a directory with --home, "
                    "and see the logs in it"
                )
            self._look_after_workers()
            time.sleep(TICK)

    def _is_ready(self) -> bool:
        known = {route.actor for route in self._mailbox.routes().subscriptions}
        return known.issuperset(ACTORS) and len(self._mailbox.info().workers) >= self._workers

    def _publish(self, *, until: float) -> None:
        """Publish what is due when this part of the time has passed."""
        due = self._plan.events[self._published : round(until * len(self._plan.events))]
        receipts = self._app.publish_many(due)
        self._published += len(receipts)
        self._duplicates += sum(each.duplicate for receipt in receipts for each in receipt.deliveries)

    def _look_after_workers(self) -> None:
        if self._kill_wanted and self._published >= KILL_AT * len(self._plan.events):
            pid = self._crew.kill_one(self._is_held)
            if pid is not None:
                self._kill_wanted = False
                self._tell(f"kill -9 {pid}")
        for line in self._crew.look():
            self._tell(line)

    def _is_held(self) -> bool:
        """Whether something stays leased, once the workers that still go on have done the rest."""
        give_up_at = time.monotonic() + HOLDS_ITS_BREATH
        while time.monotonic() < give_up_at:
            queues = self._mailbox.info().queues
            if not any(queue.leased for queue in queues):
                return False
            time.sleep(TICK / 5)
        return True

    def _scene(self, info: MailboxInfo) -> Scene:
        delays = read_delays(self._effects, LATEST)
        total = {
            name: sum(getattr(queue, name) for queue in info.queues)
            for name in ("ready", "leased", "scheduled", "succeeded", "retried", "dead", "takeovers")
        }
        return Scene(
            planned=len(self._plan.events),
            published=self._published,
            workers=len(info.workers),
            duplicates=self._duplicates,
            rate=self._rate.of(total["succeeded"]),
            p50_ms=percentile(delays, 0.50),
            p99_ms=percentile(delays, 0.99),
            **total,
        )

    def _verdict(self, info: MailboxInfo, seconds: float) -> Verdict:
        return judge(
            self._plan,
            read_effects(self._effects),
            info,
            accepted=self._published,
            duplicates=self._duplicates,
            killed=self._crew.killed,
            seconds=seconds,
        )


class Rate:
    """How much a growing number grew in the last second, and since when it has not."""

    def __init__(self) -> None:
        self._seen = [(time.monotonic(), 0)]
        self._grew_at = time.monotonic()

    def of(self, number: int) -> int:
        """The growth a second, now that it is `number`."""
        now = time.monotonic()
        if number > self._seen[-1][1]:
            self._grew_at = now
        self._seen = [*[seen for seen in self._seen if seen[0] > now - 1], (now, number)]
        since, before = self._seen[0]
        return round((number - before) / (now - since)) if now > since else 0

    def still_for(self) -> float:
        """Seconds since it grew."""
        return time.monotonic() - self._grew_at


@contextmanager
def stage(home: Path | None) -> Iterator[Path]:
    """The directory of a demo: the one that is given, or one that is gone afterwards."""
    if home is not None:
        yield home.expanduser().absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="callboard-demo-"))
    try:
        yield made
    finally:
        _clear_away(made)


def play(home: Path | None, plan: Plan, *, workers: int, kill: bool, show: Show, tell: Tell) -> Verdict:
    """Play a demo in a directory; what `show` and `tell` are given is for whoever looks on."""
    with stage(home) as place:
        one = Play(place, plan, workers=workers, kill=kill, show=show, tell=tell)
        with closing(one):
            return one.run()


def _clear_away(home: Path) -> None:
    """Remove a directory once the server, whose last user has left, has ended."""
    server = EmbeddedServer(home)
    give_up_at = time.monotonic() + 10
    while home.exists():
        is_late = time.monotonic() > give_up_at
        if is_late or server.pid() is None:
            try:
                shutil.rmtree(home)
            except OSError:
                # A server that answers no more still puts its files away.
                if is_late:
                    raise
        time.sleep(TICK / 2)
