"""Moments as an operator says and reads them."""

from datetime import UTC, datetime

from ..messages.errors import ConfigurationError, InvalidDuration
from ..messages.timing import duration_ms


def moment_ms(said: str, now: int, *, option: str) -> int:
    """Epoch milliseconds of "2h" (ago) or of an ISO 8601 moment; raises `ConfigurationError`."""
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        try:
            return now - duration_ms(said, name=option)
        except InvalidDuration:
            raise ConfigurationError(
                f"{option} takes how long ago, as in 2h or 30m, or a moment as in 2030-01-31T12:00:00Z, "
                f"but is {said!r}"
            ) from None
    if at.utcoffset() is None:
        raise ConfigurationError(f"{option} {said!r} names no time zone: add Z for UTC, or +01:00")
    return int(at.timestamp() * 1000)


def shown_moment(ms: int | None) -> str:
    """A moment in UTC, to the second; a dash for none."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}" if ms else "-"
