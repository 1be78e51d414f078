"""What a handler raises to say what should become of its delivery.

They are signals and no errors: nothing has gone wrong, the handler has decided. They derive from
`Exception`, so that a handler's own `finally` and `with` blocks run as usual.
"""

from datetime import datetime, timedelta

from dramatiq.middleware import TimeLimitExceeded


class Signal(Exception):
    """The base of the signals; `detail` is kept in the record."""

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        super().__init__(detail)


class RetryLater(Signal):
    """Try again after a time of the handler's choosing; counts as an attempt.

    `after` takes what `publish(after=)` takes, and words such as "10m" as well. The actor's limits of
    attempts and age still hold.
    """

    def __init__(self, after: str | float | datetime | timedelta, detail: str = "") -> None:
        self.after = after
        super().__init__(detail)


class DiscardEvent(Signal):
    """Drop the delivery; its record says so, with the words given."""


class RejectEvent(Signal):
    """Dead-letter the delivery now, without another attempt."""


class ItemSignal(Exception):
    """The base of what is raised within `with item:` to say what becomes of that item; the loop goes on."""


class RejectItem(ItemSignal):
    """Give the item up: it has failed for good and is not tried again, while others may be."""


class SkipItem(ItemSignal):
    """Nothing is to be done for the item: it has not failed, and is not tried again."""


class TimeIsUp(TimeLimitExceeded):
    """Raised inside a `def` handler that has run into its timeout; an `async def` one is cancelled.

    It derives from `BaseException`, so that `except Exception` in a handler does not hold it up.
    The attempt fails with `HandlerTimeout`.
    """


class HandlerTimeout(TimeoutError):
    """What an attempt fails with whose handler ran into its timeout, as `on=` and `never_on=` see it."""


class StuckTogether(HandlerTimeout):
    """What the events of a batch fail with, uncharged, whose handler went on after it was interrupted.

    It is not known which of them it was for, so each is run alone the next time.
    """
