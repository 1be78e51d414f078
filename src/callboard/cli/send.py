"""`callboard send`: publishes events from an argument, a file or stdin, checked by their contract."""

from contextlib import closing
from functools import partial
from typing import Annotated

from cyclopts import App, Parameter

from ..actors.receipt import Receipt
from ..messages.errors import ConfigurationError
from .bodies import Line, open_source, read_data, read_event, read_lines, size_of
from .exits import ExitCode
from .loading import load_app
from .place import naming
from .posting import dry, live
from .publishing import Publishing
from .stream import Stream, as_json, in_words, progress
from .terminal import AsJson, console, examples, keep_logs_off_stdout

Data = Annotated[
    str | None, Parameter(allow_leading_hyphen=True, help="One event: JSON, `@file`, or `-` for stdin.")
]
Jsonl = Annotated[
    str | None,
    Parameter(allow_leading_hyphen=True, help="Many events: a file with one a line, maybe gzipped, or `-`."),
]
DryRun = Annotated[
    bool, Parameter(negative="", show_default=False, help="Check everything, publish nothing.")
]

command = App(
    name="send",
    help_epilogue=examples(
        """callboard send shop:app order.placed --data '{"order_id": "A-1"}'""",
        "callboard send shop:app order.placed --data @order.json --after '5 minutes'",
        "callboard send shop:app order.placed --jsonl orders.jsonl.gz --max-attempts 3 --max-age 5h",
        "export | callboard send shop:app order.placed --jsonl - --dedup-field order_id",
    ),
)


@command.default
def send(
    target: Annotated[str, Parameter(name="APP", help="`module:app`, importable from here.")],
    contract: Annotated[str, Parameter(name="CONTRACT", help="The contract's name.")],
    /,
    *,
    data: Data = None,
    jsonl: Jsonl = None,
    how: Publishing | None = None,
    dry_run: DryRun = False,
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
    how = how or Publishing()
    if (data is None) == (jsonl is None):
        raise ConfigurationError("give the events in one way: --data for one, --jsonl for many")
    if how.dedup_key is not None and (jsonl is not None or how.dedup_field):
        raise ConfigurationError("--dedup-key is for one event: use --dedup-field for keys made of fields")
    app = load_app(target)
    known = app.catalog.current(contract)
    post = (dry if dry_run else live)(app, how.options(known, app.publisher.longest_timeout))
    report = as_json if json else in_words if data is not None else _in_silence
    stream = Stream(partial(read_event, known), post, report, many=data is None)
    with closing(app), naming(app.settings):
        _take(stream, data, jsonl)
    if not json and (jsonl is not None or dry_run):
        console().print(_summary(stream, dry_run=dry_run), soft_wrap=True)
    return stream.exit_code


def _take(stream: Stream, data: str | None, jsonl: str | None) -> None:
    if data is not None:
        stream.take([Line(1, read_data(data))])
    elif jsonl is not None:
        with open_source(jsonl) as source, progress(source, size_of(jsonl), stream) as passing:
            stream.take(passing(read_lines(source.stream)))


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
