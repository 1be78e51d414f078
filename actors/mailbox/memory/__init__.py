"""The mailbox in memory, with the clocks that it goes by."""

from .clock import SystemClock, VirtualClock
from .mailbox import MemoryMailbox

__all__ = ["MemoryMailbox", "SystemClock", "VirtualClock"]
