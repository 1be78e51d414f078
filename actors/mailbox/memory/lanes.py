"""The lanes of one queue of the memory mailbox: what may be handed out, what waits for what, who holds it."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from math import inf

from ..infos import MOST_LISTED, Holder, LaneInfo
from .live import Live


@dataclass(slots=True)
class Slots:
    """An actor with a limit: what holds its slots, and what waits for one."""

    limit: float = inf
    """Infinite once the limit was taken away; what waits then leaves as fast as it is fetched."""
    held: set[Live] = field(default_factory=set[Live])
    line: deque[Live] = field(default_factory=deque[Live])

    @property
    def free(self) -> float:
        """How many more may be leased."""
        return max(0, self.limit - len(self.held))

    @property
    def left(self) -> int:
        """How many of those who wait could be handed out."""
        return int(min(self.free, len(self.line)))

    def take(self, live: Live) -> None:
        """Give it a slot, if slots are counted."""
        if self.limit < inf:
            self.held.add(live)


class Lanes:
    """Ordered lanes with one holder each, and actors with so many slots."""

    def __init__(self) -> None:
        self._holders: dict[str, Live] = {}
        self._behind: dict[str, deque[Live]] = defaultdict(deque)
        self._slots: dict[str, Slots] = {}

    @property
    def left(self) -> int:
        """How many of those who wait for a slot could be handed out."""
        return sum(slots.left for slots in self._slots.values())

    @property
    def waiting(self) -> int:
        """How many stand in lanes."""
        behind = sum(len(line) for line in self._behind.values())
        return behind + sum(len(slots.line) for slots in self._slots.values())

    def limit(self, actor: str, limit: int | None) -> None:
        """Set how many deliveries of an actor may be leased at once, None for any number."""
        if limit is not None:
            self._slots.setdefault(actor, Slots()).limit = limit
        elif slots := self._slots.get(actor):
            slots.limit = inf
            slots.held.clear()
            self._drop_if_unused(actor, slots)

    def choose(self, ready: deque[Live], limit: int) -> list[Live]:
        """Take up to `limit` of what may be handed out; what may not is put aside where it must wait."""
        chosen: list[Live] = []
        # Whoever has least goes first, so that no actor's line is starved by another's.
        for actor, slots in sorted(self._slots.items(), key=lambda each: (len(each[1].held), each[0])):
            for _ in range(min(slots.left, limit - len(chosen))):
                chosen.append(slots.line.popleft())
                slots.take(chosen[-1])
            self._drop_if_unused(actor, slots)
        while ready and len(chosen) < limit:
            live = ready.popleft()
            if self._may_go(live):
                chosen.append(live)
        return chosen

    def hold(self, live: Live) -> None:
        """Count a suspect, which is handed out whatever the limit is."""
        if slots := self._slots.get(live.actor):
            slots.take(live)

    def leave(self, live: Live) -> Live | None:
        """Give on what an ended delivery held; returns what is ready for that."""
        self.leave_slot(live)
        if self._holders.get(live.lane) is not live:
            return None
        behind = self._behind.pop(live.lane, deque())
        if not behind:
            del self._holders[live.lane]
            return None
        following = self._holders[live.lane] = behind.popleft()
        self._behind[live.lane] = behind
        return following

    def leave_slot(self, live: Live) -> None:
        """Free its slot, if it has one."""
        if slots := self._slots.get(live.actor):
            slots.held.discard(live)

    def take_back(self, live: Live) -> bool:
        """Put it before what waits for a slot of its actor; whether there are slots."""
        slots = self._slots.get(live.actor)
        if slots is None or slots.limit == inf:
            return False
        slots.held.discard(live)
        slots.line.appendleft(live)
        return True

    def lines(self) -> list[deque[Live]]:
        """What waits, in the lines it stands in."""
        return [*(slots.line for slots in self._slots.values()), *self._behind.values()]

    def clear(self) -> list[Live]:
        """Take out all that waits."""
        lines = self.lines()
        out = [live for line in lines for live in line]
        for line in lines:
            line.clear()
        return out

    def look_up(self, live: Live) -> tuple[int | None, str] | None:
        """How many are ahead of it in the line it stands in, if it does, and whom it waits behind; None if it
        waits for nothing."""
        holder = self._holders.get(live.lane) if live.lane else None
        if holder is not None and holder is not live:
            behind = self._behind[live.lane]
            return (behind.index(live) if live in behind else None), holder.id
        slots = self._slots.get(live.actor)
        return (slots.line.index(live), "") if slots and live in slots.line else None

    def infos(self) -> tuple[LaneInfo, ...]:
        """The fullest lanes."""
        lanes = [
            *(self._ordered_info(lane, live) for lane, live in self._holders.items()),
            *(_slots_info(actor, slots) for actor, slots in self._slots.items()),
        ]
        return tuple(sorted(lanes, key=lambda each: (-each.waiting, each.lane))[:MOST_LISTED])

    def _may_go(self, live: Live) -> bool:
        """Whether it may be handed out, with its lane and slot taken; if not it is put where it must wait."""
        if live.lane and self._holders.setdefault(live.lane, live) is not live:
            self._behind[live.lane].append(live)
            return False
        slots = self._slots.get(live.actor)
        if slots is None:
            return True
        if not slots.free:
            slots.line.append(live)
            return False
        slots.take(live)
        return True

    def _drop_if_unused(self, actor: str, slots: Slots) -> None:
        if slots.limit == inf and not slots.line:
            del self._slots[actor]

    def _ordered_info(self, lane: str, live: Live) -> LaneInfo:
        behind = len(self._behind.get(lane, ()))
        return LaneInfo(lane, True, 1, behind, 1, (_holder(live),))


def _slots_info(actor: str, slots: Slots) -> LaneInfo:
    limit = None if slots.limit == inf else int(slots.limit)
    held = sorted(slots.held, key=lambda live: live.id)
    holders = tuple(_holder(live) for live in held[:MOST_LISTED])
    return LaneInfo(actor, False, limit, len(slots.line), len(held), holders)


def _holder(live: Live) -> Holder:
    return Holder(live.id, live.owner if live.fence else "")
