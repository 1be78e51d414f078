"""How long a call goes on trying while the server cannot be reached."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ....messages.errors import MailboxRefused, MailboxUnavailable

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


class Patience:
    """So many seconds of trying again; `ended` ends them at once."""

    def __init__(self, seconds: float, ended: threading.Event) -> None:
        self._seconds = seconds
        self._ended = ended

    def insist(self, attempt: Callable[[bool], T]) -> T:
        """Make an attempt until it is answered; it is told whether an earlier one was not.

        Raises what the last of them did. What is refused then may have been accepted before, so it is
        `MailboxUnavailable` from the second on.
        """
        give_up_at = time.monotonic() + self._seconds
        pause, again = _FIRST_PAUSE, False
        while True:
            try:
                return attempt(again)
            except MailboxRefused as error:
                if not again:
                    raise
                raise MailboxUnavailable(
                    f"{error}; an earlier try, to which no answer came, may have been accepted"
                ) from error
            except MailboxUnavailable:
                if self._ended.is_set() or time.monotonic() + pause > give_up_at:
                    raise
                self._ended.wait(pause)
                again = True
                pause = min(2 * pause, _LONGEST_PAUSE)
