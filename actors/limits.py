"""How long and how much: what an app says of its worker processes, checked when it is made."""

from datetime import timedelta

import msgspec

from ..messages.errors import InvalidActor, InvalidDuration
from ..messages.timing import duration_ms
from ..middleware.options import Options, policy_of
from ..middleware.timeout import LONGEST_TIMEOUT

SHORTEST_LEASE_MS = 300
"""A lease is renewed every third of it; a shorter one would run out while a busy machine pauses."""


class Limits(msgspec.Struct, frozen=True):
    """What holds for a worker process."""

    lease_ms: int
    """How long a worker that is not heard of may hold a delivery."""
    in_flight: int
    """Deliveries of `async def` actors that run at a time."""
    grace: float
    """Seconds a stopping worker waits for handlers on the event loop."""


def read_limits(
    faults: list[str],
    *,
    lease: str | float | timedelta,
    in_flight: int,
    grace: str | float | timedelta,
) -> Limits:
    """The limits as they were given; appends to `faults` what cannot be, each with its mend."""
    return Limits(
        lease_ms=_lease_ms(lease, faults),
        in_flight=_in_flight(in_flight, faults),
        grace=_milliseconds(grace, "grace", faults) / 1000,
    )


def read_longest_timeout(given: str | float | timedelta, faults: list[str]) -> float:
    """Seconds that no timeout may exceed; appends to `faults` what cannot be."""
    told = len(faults)
    longest = _milliseconds(given, "longest_timeout", faults) / 1000
    if longest == 0 and len(faults) == told:
        faults.append("longest_timeout must be more than 0: give it a length such as '60s'")
    return longest or duration_ms(LONGEST_TIMEOUT) / 1000


def check_options(options: Options, longest_timeout: float, faults: list[str]) -> None:
    """Append to `faults` what the app says for its actors and what none of them could be declared with."""
    for name, value in msgspec.structs.asdict(options).items():
        try:
            policy_of("app", [Options(**{name: value})], contracts={}, longest_timeout=longest_timeout)
        except InvalidActor as error:
            faults += error.faults


def _lease_ms(lease: str | float | timedelta, faults: list[str]) -> int:
    told = len(faults)
    milliseconds = _milliseconds(lease, "lease", faults)
    if milliseconds < SHORTEST_LEASE_MS and len(faults) == told:
        faults.append(
            f"lease is {milliseconds} ms, too short to be renewed in time: give it at least "
            f"{SHORTEST_LEASE_MS} ms, or leave it out for 30 s"
        )
    return milliseconds


def _in_flight(in_flight: object, faults: list[str]) -> int:
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or in_flight < 1:
        faults.append(
            f"in_flight is {in_flight!r}: give it a whole number, 1 or more, or leave it out for 100"
        )
        return 1
    return in_flight


def _milliseconds(length: str | float | timedelta, name: str, faults: list[str]) -> int:
    try:
        return duration_ms(length, name=name)
    except InvalidDuration as error:
        faults.append(str(error))
        return 0
