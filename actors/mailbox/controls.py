"""What an operator sets of a mailbox's queues: which of them hand out nothing for now."""

from typing import Protocol

from .infos import Pause


class Controls(Protocol):
    """Pauses and resumes queues. Raises what `Mailbox` does."""

    def pause(self, queue: str, *, by: str = "", reason: str = "") -> Pause:
        """Hand out nothing of a queue until it is resumed, whatever happens to workers and the server.

        Publishing, schedules and takeovers go on, and so does what workers hold. A queue that is paused
        already stays so as it was; returns the pause that holds.
        """
        ...

    def resume(self, queue: str) -> Pause | None:
        """Hand out again, and wake workers at once; returns the pause that held, None if there was none."""
        ...
