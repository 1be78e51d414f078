"""The controls of the mailbox on a server."""

from ..infos import Pause
from .records import Ask
from .wire import pause_of, read_pause


class RedisControls:
    """Pauses and resumes queues of a workspace on a server; implements `Controls`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def pause(self, queue: str, *, by: str = "", reason: str = "") -> Pause:
        """See `Controls.pause`."""
        return pause_of(*self._ask("pause", queue, by, reason))

    def resume(self, queue: str) -> Pause | None:
        """See `Controls.resume`."""
        return read_pause(self._ask("resume", queue))
