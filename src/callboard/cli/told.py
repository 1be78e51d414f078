"""Whether a signal came for this process: one that ends without having been told to is to be begun anew."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def told_by_signal() -> Iterator[Callable[[], bool]]:
    """Look for signals, whoever handles them; what is given tells if one came. For the main thread."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # What is forked off would note its own signals here.
    os.register_at_fork(after_in_child=_note_nothing)

    def was_told() -> bool:
        with suppress(BlockingIOError):
            return bool(os.read(reading, 1))
        return False

    try:
        yield was_told
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def _note_nothing() -> None:
    signal.set_wakeup_fd(-1)
