"""One queue of the memory mailbox: what is ready, in lanes, suspect, scheduled or leased; its tallies."""

import heapq
from collections import Counter, deque
from itertools import count

from ..infos import DeadLettersInfo, Pause, QueueInfo
from ..mailbox import PAUSED_LOOK_MS
from ..records import LiveDelivery, State
from ..suspects import HUNT_MS, Suspects
from .lanes import Lanes
from .live import Live


class Queue:
    """The places where the deliveries of one queue stand; each stands in exactly one of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[Live] = deque()
        self.suspects: deque[Live] = deque()
        self.lone: deque[Live] = deque()
        """Suspects that were lost once more, each to be run alone."""
        self.lanes = Lanes()
        self.tallies: Counter[str] = Counter()
        self.pause: Pause | None = None
        self._woken = False
        self._scheduled: list[tuple[int, int, Live]] = []
        self._lease_ends: list[tuple[int, str, int, int, Live]] = []
        # Leases that end at once are taken over in the order of their ids, as servers do.
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
        self._woken |= live.alone or live.suspect
        if live.alone or live.suspect:
            (self.lone if live.alone else self.suspects).appendleft(live)
        elif not self.lanes.take_back(live):
            self.ready.appendleft(live)

    def choose(self, limit: int, *, alone: bool, wanted: Suspects) -> list[Live]:
        """Take out up to `limit` of what may be handed out, or at most one suspect."""
        chosen = self._choose_suspects(limit, alone=alone, wanted=wanted)
        is_suspect = alone or bool(chosen)
        for live in chosen:
            self.lanes.hold(live)
        if not is_suspect:
            chosen = self.lanes.choose(self.ready, limit)
        for live in chosen:
            live.alone = alone and wanted.charged
            live.suspect = is_suspect and not live.alone
        return chosen

    def _choose_suspects(self, limit: int, *, alone: bool, wanted: Suspects) -> list[Live]:
        if not alone:
            count = min(limit, wanted.together or 0, len(self.suspects))
            return [self.suspects.popleft() for _ in range(count)]
        place = self.suspects if wanted.together is None and self.suspects else self.lone
        return [place.popleft()] if limit and place else []

    def suspect(self, live: Live) -> None:
        """Its worker was lost: it shall run alone if that has happened before."""
        (self.lone if live.alone or live.suspect else self.suspects).append(live)

    def leave_lanes(self, live: Live) -> None:
        """Give on what an ended delivery held; what waited longest goes before what is ready."""
        following = self.lanes.leave(live)
        if following is not None:
            self.ready.appendleft(following)

    @property
    def waiting(self) -> int:
        """How many could be handed out at once."""
        return len(self.ready) + self.lanes.left

    @property
    def scheduled(self) -> list[tuple[int, Live]]:
        """What is due later and when, the earliest first."""
        return [(due_at, live) for due_at, _, live in sorted(self._scheduled, key=lambda each: each[:2])]

    def move_due(self, now: int) -> None:
        """Put what is due behind what is ready, the earliest first."""
        while self._scheduled and self._scheduled[0][0] <= now:
            self.ready.append(heapq.heappop(self._scheduled)[2])

    def lease(self, live: Live, fence: int, *, owner: str, until: int) -> None:
        """Hold it under `fence`."""
        live.fence, live.owner = fence, owner
        self._leased += 1
        self.extend(live, until)

    def extend(self, live: Live, until: int) -> None:
        """Let its lease end at `until`."""
        live.lease_end = until
        heapq.heappush(self._lease_ends, (until, live.id, next(self._order), live.fence, live))

    def let_go(self, live: Live) -> None:
        """End its lease; the caller says where it stands next."""
        live.fence = 0
        self._leased -= 1

    def take_expired(self, now: int) -> list[tuple[Live, int]]:
        """End the leases that ran out; returns what they held and under which fence, the earliest first."""
        taken = []
        while (end := self._next_lease_end()) is not None and end <= now:
            *_, fence, live = heapq.heappop(self._lease_ends)
            self.let_go(live)
            taken.append((live, fence))
        return taken

    def next_in(self, now: int) -> int | None:
        """Milliseconds until a schedule is due or a lease runs out, 0 if overdue; None without either.

        No sooner than `PAUSED_LOOK_MS` while it is paused.
        """
        ends = [self._scheduled[0][0]] if self._scheduled else []
        lease_end = self._next_lease_end()
        if lease_end is not None:
            ends.append(lease_end)
        least = 0 if self.pause is None else PAUSED_LOOK_MS
        return max(least, min(ends) - now) if ends else None

    def tell_suspects(self, owner: str, now: int, lease_ms: int, wanted: Suspects) -> int:
        """How many suspects wait: told to one owner, who then hunts them, and 0 to all others."""
        waiting = len(self.lone) + (len(self.suspects) if wanted.together is None else 0)
        if not waiting or not wanted.hunts or (now < self._hunt_end and owner != self._hunter):
            return 0
        self._hunter, self._hunt_end = owner, now + min(HUNT_MS, lease_ms)
        return waiting

    def resume(self) -> None:
        """Hand out again, and let one who waits look."""
        self.pause, self._woken = None, True

    def wake_for(self, count: int) -> None:
        """One who waits should look, if this many are left for others."""
        self._woken |= count > 0

    def take_wake(self) -> bool:
        """Whether one who waits should look: something is ready, or a suspect came back since then."""
        if self.pause is not None:
            return False
        wake = self._woken or self.waiting > 0
        self._woken = False
        return wake

    def clear(self) -> list[Live]:
        """Take out all that is not leased."""
        places = [self.ready, self.suspects, self.lone, (live for _, _, live in self._scheduled)]
        out = [*self.lanes.clear(), *(live for place in places for live in place)]
        for live in out:
            self.lanes.leave(live)
        self.ready.clear()
        self.suspects.clear()
        self.lone.clear()
        self._scheduled.clear()
        return out

    def take_out(self, live: Live) -> None:
        """Take one that is not leased out of where it waits; it keeps its lane and its slot."""
        self._scheduled = [each for each in self._scheduled if each[2] is not live]
        heapq.heapify(self._scheduled)
        for place in (self.suspects, self.lone, self.ready, *self.lanes.lines()):
            if live in place:
                place.remove(live)

    def look_up(self, live: Live) -> LiveDelivery:
        """Where one of its deliveries stands."""
        if live.fence:
            return _stands(live, State.LEASED, until=live.lease_end, owner=live.owner)
        for due_at, _, each in self._scheduled:
            if each is live:
                return _stands(live, State.SCHEDULED, until=due_at)
        for place in (self.suspects, self.lone):
            if live in place:
                return _stands(live, State.SUSPECT, ahead=place.index(live))
        waits = self.lanes.look_up(live)
        if waits is not None:
            ahead, behind = waits
            return _stands(live, State.WAITING, ahead=ahead, behind=behind)
        return _stands(live, State.READY, ahead=self.ready.index(live))

    def info(self, letters: DeadLettersInfo) -> QueueInfo:
        """What it holds, and what it ever did; told of its dead letters."""
        return QueueInfo(
            self.name,
            ready=len(self.ready),
            leased=self._leased,
            scheduled=len(self._scheduled),
            suspects=len(self.suspects) + len(self.lone),
            waiting=self.lanes.waiting,
            lanes=self.lanes.infos(),
            paused=self.pause,
            dead_letters=letters,
            **self.tallies,
        )

    def _next_lease_end(self) -> int | None:
        # A renewed or settled lease leaves its earlier end behind in the heap; those are dropped here.
        while self._lease_ends:
            end, _, _, fence, live = self._lease_ends[0]
            if live.fence == fence and live.lease_end == end:
                return end
            heapq.heappop(self._lease_ends)
        return None


def _stands(
    live: Live,
    state: State,
    *,
    until: int | None = None,
    owner: str = "",
    ahead: int | None = None,
    behind: str = "",
) -> LiveDelivery:
    return LiveDelivery(state, live.stored, live.history, until, owner, ahead, behind)
