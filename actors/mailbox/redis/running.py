"""What workers say they are at, on a server."""

from collections.abc import Sequence

import msgspec

from ..running import LASTS_MS, RunningAttempt, WorkerReport
from .records import Ask


class _Kept(msgspec.Struct, frozen=True):
    attempts: tuple[RunningAttempt, ...]
    more: int


_decoder = msgspec.json.Decoder(_Kept)


class RedisRunning:
    """Keeps what workers of a workspace tell on a server; implements `Running`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def tell(self, owner: str, attempts: Sequence[RunningAttempt], more: int = 0) -> None:
        """See `Running.tell`."""
        kept = msgspec.json.encode(_Kept(tuple(attempts), more)) if attempts else b""
        self._ask("tell", owner, kept, LASTS_MS)

    def reports(self) -> tuple[WorkerReport, ...]:
        """See `Running.reports`."""
        now, *told = self._ask("told")
        return tuple(_read(now, *each) for each in told)


def _read(now: int, owner: bytes, at: bytes, kept: bytes) -> WorkerReport:
    read = _decoder.decode(kept)
    return WorkerReport(owner.decode(), max(0, now - int(at)), read.attempts, read.more)
