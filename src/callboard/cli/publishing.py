"""How events are to be published: options of `send`, checked before anything is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from ..messages.contract import Contract
from ..messages.errors import ConfigurationError, InvalidAfter
from ..messages.event import Event, key_from
from ..messages.event_options import OptionsGiven, read_options
from ..messages.timing import After, read_after
from .posting import Options


@Parameter(name="*")
@dataclass(frozen=True)
class Publishing:
    """What holds for all events of the command, as it was written."""

    after: Annotated[
        str | None, Parameter(help="Wait: `5 minutes`, or until an ISO 8601 time or epoch milliseconds.")
    ] = None
    dedup_key: Annotated[str | None, Parameter(help="The dedup key of one event.")] = None
    dedup_field: Annotated[
        list[str] | None, Parameter(negative="", help="A field that makes the dedup key; repeatable.")
    ] = None
    attribute: Annotated[
        list[str] | None, Parameter(negative="", help="An attribute, `name=value`; repeatable.")
    ] = None
    timeout: Annotated[str | None, Parameter(help="How long an attempt may take, as `30s`.")] = None
    max_attempts: Annotated[int | None, Parameter(help="Starts in all: 3 means two retries.")] = None
    give_up_after: Annotated[
        str | None, Parameter(help="The age from which it is not tried again, as `2 days`.")
    ] = None
    max_age: Annotated[
        str | None, Parameter(help="The age from which it is not handled at all, as `5h`.")
    ] = None

    def options(self, contract: Contract, longest_timeout: float) -> Options:
        """The same as publishing takes it; `longest_timeout` is the app's, in seconds.

        Raises `ConfigurationError`, `InvalidAfter` or `InvalidOption`.
        """
        given = OptionsGiven(
            timeout=self.timeout,
            max_attempts=self.max_attempts,
            give_up_after=self.give_up_after,
            max_age=self.max_age,
        )
        return Options(
            # Read now, so that it is wrong now and not at some later event.
            after=None if self.after is None else read_when(self.after, "--after"),
            attributes=_attributes(self.attribute or ()),
            key=_key(self.dedup_key, tuple(self.dedup_field or ()), contract),
            options=read_options(given, longest_timeout),
        )


def read_when(text: str, name: str) -> After:
    """The moment that an option of this name asks for; raises `InvalidAfter`, which names the option."""
    try:
        return read_after(int(text) if text.strip().isdecimal() else text)
    except InvalidAfter as error:
        raise InvalidAfter(str(error).replace("`after`", name)) from None


def _attributes(given: Sequence[str]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given]
    if bad := [name for name, equals, _ in pairs if not (name and equals)]:
        raise ConfigurationError(f"--attribute {bad[0]!r}: write name=value")
    return {name: value for name, _, value in pairs}


def _key(key: str | None, fields: tuple[str, ...], contract: Contract) -> Callable[[Event], str] | None:
    """What makes the dedup key; raises `ConfigurationError` for a field that the contract has not."""
    if key is not None:
        return lambda _event: key
    known = contract.cls.__struct_fields__
    for field in fields:
        if field not in known:
            raise ConfigurationError(f"{contract.name} has no field {field!r}: it has {', '.join(known)}")
    return (lambda event: key_from(event, fields) or "") if fields else None
