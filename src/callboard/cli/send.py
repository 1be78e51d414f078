"""`callboard send`: publishes events from an argument, a file or stdin, checked by their contract."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Annotated

from cyclopts import App, Parameter

from ..actors.publisher import Receipt
from ..messages.contract import Contract
from ..messages.errors import ConfigurationError
from ..messages.event import Event, key_from
from ..messages.timing import read_after
from .bodies import Line, open_source, read_data, read_event, read_lines, size_of
from .exits import ExitCode
from .loading import load_app
from .place import naming
from .posting import Options, dry, live
from .stream import Stream, as_json, in_words, progress
from .terminal import AsJson, console, examples, keep_logs_off_stdout

command = App(
    name="send",
    help_epilogue=examples(
        """callboard send shop:app order.placed --data '{"order_id": "A-1"}'""",
        "callboard send shop:app order.placed --data @order.json --after '5 minutes'",
        "callboard send shop:app order.placed --jsonl orders.jsonl.gz",
        "export | callboard send shop:app order.placed --jsonl - --dedup-field order_id",
    ),
)


@command.default
def send(
    target: Annotated[str, Parameter(name="APP", help="`module:app`, importable from here.")],
    contract: Annotated[str, Parameter(name="CONTRACT", help="The contract's name.")],
    /,
    *,
    data: Annotated[
        str | None, Parameter(allow_leading_hyphen=True, help="One event: JSON, `@file`, or `-` for stdin.")
    ] = None,
    jsonl: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True, help="Many events: a file with one a line, maybe gzipped, or `-`."
        ),
    ] = None,
    after: Annotated[
        str | None, Parameter(help="Wait: `5 minutes`, or until an ISO 8601 time or epoch milliseconds.")
    ] = None,
    dedup_key: Annotated[str | None, Parameter(help="The dedup key of one event.")] = None,
    dedup_field: Annotated[
        list[str] | None, Parameter(negative="", help="A field that makes the dedup key; repeatable.")
    ] = None,
    attribute: Annotated[
        list[str] | None, Parameter(negative="", help="An attribute, `name=value`; repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Check everything, publish nothing.")
    ] = False,
    json: AsJson = False,
) -> ExitCode:
    """Publish events, each checked by its contract first.

    A line that is refused is told on stderr with its number and hides no other: the rest is
    published, and the exit code is 2. An event that nobody subscribes to is not kept: exit code 1.
    When the mailbox cannot be reached any more (3), stderr tells up to which line all is stored.
    Sending the same file again is safe with `--dedup-field`, or with a contract that says `dedup=`.

    `--json` prints a line for each accepted event, in order: `line`, `id` and `deliveries` (a list of
    `actor` and `duplicate`).
    """
    keep_logs_off_stdout()
    if (data is None) == (jsonl is None):
        raise ConfigurationError("give the events in one way: --data for one, --jsonl for many")
    if dedup_key is not None and (jsonl is not None or dedup_field):
        raise ConfigurationError("--dedup-key is for one event: use --dedup-field for keys made of fields")
    app = load_app(target)
    known = app.catalog.current(contract)
    options = Options(
        after=_after(after),
        attributes=_attributes(attribute or ()),
        key=_key(dedup_key, tuple(dedup_field or ()), known),
    )
    post = dry(app, options) if dry_run else live(app, options)
    report = as_json if json else in_words if data is not None else _in_silence
    stream = Stream(partial(read_event, known), post, report, many=data is None)
    with closing(app), naming(app.settings):
        if data is not None:
            stream.take([Line(1, read_data(data))])
        elif jsonl is not None:
            with open_source(jsonl) as source, progress(source, size_of(jsonl), stream) as passing:
                stream.take(passing(read_lines(source.stream)))
    if not json and (jsonl is not None or dry_run):
        console().print(_summary(stream, dry_run=dry_run), soft_wrap=True)
    return stream.exit_code


def _in_silence(_number: int, _receipt: Receipt) -> None:
    """Of many events only the summary is told."""


def _summary(stream: Stream, *, dry_run: bool) -> str:
    if dry_run:
        return f"{stream.accepted:,} events are well, {stream.refused:,} are not; nothing was published"
    parts = [f"{stream.accepted:,} events accepted", f"{stream.deliveries:,} deliveries"]
    parts += [f"{stream.duplicates:,} of them duplicates"] if stream.duplicates else []
    parts += [f"{stream.unrouted:,} events nobody subscribes to"] if stream.unrouted else []
    parts += [f"{stream.refused:,} refused"] if stream.refused else []
    return ", ".join(parts)


def _after(text: str | None) -> str | int | None:
    """What `publish(after=)` takes; raises `InvalidAfter` now and not at the first event."""
    if text is None:
        return None
    after = int(text) if text.strip().isdecimal() else text
    read_after(after)
    return after


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
