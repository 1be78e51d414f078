"""The harness for users' tests: an app on a mailbox in memory, with a clock that moves only when told to."""

from .play import EndlessRun
from .records import EndedDelivery, PastAttempt, ScheduledDelivery
from .stage import START, Stage

__all__ = ["START", "EndedDelivery", "EndlessRun", "PastAttempt", "ScheduledDelivery", "Stage"]
