"""One queue of the memory mailbox: what is ready, suspect, scheduled and leased, and its tallies."""

import heapq
from collections import Counter, deque
from dataclasses import dataclass
from itertools import count

from ...messages.delivery import FINGERPRINT_SIZE, NO_HISTORY, History
from .mailbox import HUNT_MS, QueueInfo


@dataclass(slots=True, eq=False)
class Live:
    """A delivery that has not ended: ready, leased, scheduled or suspect."""

    id: str
    queue: str
    stored: bytes
    history: History = NO_HISTORY
    fence: int = 0
    """The lease that holds it; 0 while nobody does."""
    lease_end: int = 0
    alone: bool = False
    """Whether its lease was given to it alone."""

    @property
    def fingerprint(self) -> bytes:
        """What tells its body from another."""
        return self.stored[:FINGERPRINT_SIZE]


class Queue:
    """The places where the deliveries of one queue stand; each stands in exactly one of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[Live] = deque()
        self.suspects: deque[Live] = deque()
        self.tallies: Counter[str] = Counter()
        self._woken = False
        self._scheduled: list[tuple[int, int, Live]] = []
        self._lease_ends: list[tuple[int, int, int, Live]] = []
        self._leased = 0
        self._order = count()
        self._hunter: str | None = None
        self._hunt_end = 0

    def place(self, live: Live, due_at: int, now: int) -> None:
        """Put it behind what is ready, or keep it until `due_at`."""
        if due_at > now:
            heapq.heappush(self._scheduled, (due_at, next(self._order), live))
        else:
            self.ready.append(live)

    def give_back(self, live: Live) -> None:
        """Put it before what is ready, or before the suspects if it is one."""
        self._woken |= live.alone
        (self.suspects if live.alone else self.ready).appendleft(live)

    def move_due(self, now: int) -> None:
        """Put what is due behind what is ready, the earliest first."""
        while self._scheduled and self._scheduled[0][0] <= now:
            self.ready.append(heapq.heappop(self._scheduled)[2])

    def lease(self, live: Live, fence: int, *, until: int, alone: bool) -> None:
        """Hold it under `fence`."""
        live.fence, live.alone = fence, alone
        self._leased += 1
        self.extend(live, until)

    def extend(self, live: Live, until: int) -> None:
        """Let its lease end at `until`."""
        live.lease_end = until
        heapq.heappush(self._lease_ends, (until, next(self._order), live.fence, live))

    def let_go(self, live: Live) -> None:
        """End its lease; the caller says where it stands next."""
        live.fence = 0
        self._leased -= 1

    def take_expired(self, now: int) -> list[tuple[Live, int]]:
        """End the leases that ran out; returns what they held and under which fence, the earliest first."""
        taken = []
        while (end := self._next_lease_end()) is not None and end <= now:
            _, _, fence, live = heapq.heappop(self._lease_ends)
            self.let_go(live)
            taken.append((live, fence))
        return taken

    def next_in(self, now: int) -> int | None:
        """Milliseconds until a schedule is due or a lease runs out, 0 if overdue; None without either."""
        ends = [self._scheduled[0][0]] if self._scheduled else []
        lease_end = self._next_lease_end()
        if lease_end is not None:
            ends.append(lease_end)
        return max(0, min(ends) - now) if ends else None

    def tell_suspects(self, owner: str, now: int, lease_ms: int) -> int:
        """How many suspects wait: told to one owner, who then hunts them, and 0 to all others."""
        if not self.suspects or (now < self._hunt_end and owner != self._hunter):
            return 0
        self._hunter, self._hunt_end = owner, now + min(HUNT_MS, lease_ms)
        return len(self.suspects)

    def take_wake(self) -> bool:
        """Whether one who waits should look: something is ready, or a suspect came back since then."""
        wake = self._woken or bool(self.ready)
        self._woken = False
        return wake

    def clear(self) -> list[Live]:
        """Take out all that is not leased."""
        out = [*self.ready, *self.suspects, *(live for _, _, live in self._scheduled)]
        self.ready.clear()
        self.suspects.clear()
        self._scheduled.clear()
        return out

    def info(self) -> QueueInfo:
        """What it holds, and what it ever did."""
        return QueueInfo(
            self.name,
            ready=len(self.ready),
            leased=self._leased,
            scheduled=len(self._scheduled),
            suspects=len(self.suspects),
            **self.tallies,
        )

    def _next_lease_end(self) -> int | None:
        # A renewed or settled lease leaves its earlier end behind in the heap; those are dropped here.
        while self._lease_ends:
            end, _, fence, live = self._lease_ends[0]
            if live.fence == fence and live.lease_end == end:
                return end
            heapq.heappop(self._lease_ends)
        return None
