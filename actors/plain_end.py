"""The end of an attempt at a plain message, while the hooks after it run."""

import threading
from collections.abc import Sequence
from typing import Any

from .plain import PlainMessage

ENDS = ("process_message", "skip_message")
"""The signals that come after an attempt at a plain message."""


class ThisThread(threading.local):
    """What this thread is at."""

    processed: PlainMessage | None = None
    """The message whose attempt has ended, while the hooks after it run."""


def told_end(signal: str, args: Sequence[Any], result: dict[str, Any]) -> PlainMessage | None:
    """The message that the hooks of a signal come after, told what its attempt came to."""
    if signal not in ENDS or not isinstance(args[0], PlainMessage):
        return None
    if signal == "process_message":
        args[0].has_run(result.get("exception"))
    else:
        args[0].was_skipped()
    return args[0]


def is_late(args: Sequence[Any]) -> bool:
    """Whether a signal is of a message that was settled before its handler ended."""
    return bool(args) and isinstance(args[0], PlainMessage) and args[0].late is not None
