"""A delivery as the memory mailbox keeps it while it has not ended."""

from dataclasses import dataclass, field

from ....messages.delivery import NO_HISTORY, History
from ....messages.items import ItemRecord
from ....messages.stored import Stored


@dataclass(slots=True, eq=False)
class Live(Stored):
    """A delivery that has not ended: ready, waiting in a lane, leased, scheduled or suspect."""

    id: str
    queue: str
    stored: bytes
    lane: str = ""
    """The ordered lane it belongs to, empty for none."""
    history: History = NO_HISTORY
    fence: int = 0
    """The lease that holds it; 0 while nobody does."""
    lease_end: int = 0
    alone: bool = False
    """Whether its lease was given to it alone."""
    suspect: bool = False
    """Whether it was leased with others though a worker that held it was lost."""
    items: dict[str, ItemRecord] = field(default_factory=dict[str, ItemRecord])
    """What became of its items, by what tells them apart."""
    owner: str = ""
    """The worker that fetched it last."""

    @property
    def actor(self) -> str:
        """The name of the actor it is for."""
        return self.id.partition(":")[0]
