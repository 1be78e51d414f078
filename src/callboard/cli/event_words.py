"""What commands show of single deliveries, in words and tables."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape

from ..messages.delivery import OutcomeKind
from .event_shown import BodyShown, DeliveryShown, EndedShown, ErrorShown, LiveShown, Origin, RecordShown
from .items_shown import drawn_items
from .moments import shown_moment
from .tables import table


def drawn_list(records: Sequence[EndedShown]) -> RenderableType:
    """A table of records, a line each."""
    rows = [
        (
            shown_moment(each.ended_at),
            each.outcome,
            each.reason or "-",
            escape(each.name),
            escape(each.error) or "-",
            each.fingerprint or "-",
            each.attempts,
        )
        for each in records
    ]
    return table(("ended", "outcome", "reason", "name", "error", "fingerprint", "attempts"), rows, texts=6)


def cut_after(limit: int) -> str:
    """That a list was cut."""
    return f"there are more than these {limit:,}: --limit says how many are listed"


def drawn_delivery(shown: DeliveryShown) -> Iterator[str]:
    """One delivery, a line for each thing that is known of it."""
    yield f"[bold]{escape(shown.delivery)}[/bold]"
    if shown.origin is not None:
        yield from _drawn_origin(shown.origin)
    if shown.live is not None:
        yield from _drawn_live(shown.live, shown.queue)
    if shown.completed is not None:
        yield f"  succeeded  at about {shown_moment(shown.completed.at)}{_first_attempt(shown)}"
    for record in shown.ended:
        yield from drawn_record(record)


def drawn_record(record: RecordShown) -> Iterator[str]:
    """One record, a line for each thing that is kept."""
    why = f" ({record.reason}{f', was {record.was}' if record.was else ''})" if record.reason else ""
    yield f"  {record.outcome}{why}  at {shown_moment(record.ended_at)} in {record.queue}"
    yield f"    name        {escape(record.name)}"
    yield from _drawn_origin(record.origin)
    if record.detail:
        yield f"    detail      {escape(record.detail)}"
    crashes = f", {record.crashes} crashes" if record.crashes else ""
    yield f"    attempts    {record.attempts}{crashes}"
    started = f"last started {shown_moment(record.started_at)}"
    yield f"    accepted    {shown_moment(record.accepted_at)}, due {shown_moment(record.due_at)}, {started}"
    if record.owner:
        yield f"    worker      {record.owner}"
    yield from _drawn_errors(record.first_error, record.last_error)
    yield from drawn_items(record.item_counts, record.items)
    if record.replayed_at:
        yield f"    replayed    {shown_moment(record.replayed_at)}"
    yield f"    kept until  {shown_moment(record.forgotten_at)}"
    yield from _drawn_body(record.body)


def _first_attempt(shown: DeliveryShown) -> str:
    recorded = any(each.outcome is OutcomeKind.SUCCEEDED for each in shown.ended)
    return "" if recorded else ", first attempt"


def _drawn_origin(origin: Origin) -> Iterator[str]:
    if origin.event:
        yield f"    event       {escape(origin.event)}  {escape(origin.contract)} version {origin.version}"
    if origin.causation:
        yield f"    caused by   {escape(origin.causation)}, correlation {escape(origin.correlation)}"


def _drawn_live(live: LiveShown, queue: str) -> Iterator[str]:
    words = [f"  {live.state}  in {queue}"]
    if live.until is not None:
        words.append(f"until {shown_moment(live.until)}")
    if live.owner:
        words.append(f"by {live.owner}")
    if live.ahead is not None:
        words.append(f"{live.ahead:,} ahead")
    if live.behind:
        words.append(f"behind {escape(live.behind)}")
    yield ", ".join(words)
    yield f"    attempts    {live.attempts}"
    yield f"    accepted    {shown_moment(live.accepted_at)}, due {shown_moment(live.due_at)}"
    yield from _drawn_errors(live.first_error, live.last_error)
    yield from drawn_items(live.item_counts, live.items)
    yield from _drawn_body(live.body)


def _drawn_errors(first: ErrorShown | None, last: ErrorShown | None) -> Iterator[str]:
    for name, error in (("first error", first), ("last error", last)):
        if error is not None and not (name == "first error" and error == last):
            text = f"{error.type}: {error.message}" if error.message else error.type
            yield f"    {name:<11} {escape(text)}"
            yield f"                fingerprint {error.fingerprint or '-'}, at {shown_moment(error.at)}"


def _drawn_body(body: BodyShown | None) -> Iterator[str]:
    if body is None:
        return
    if body.base64 is not None:
        yield f"    bytes       {body.base64}"
    elif body.text is not None:
        yield f"    body        {escape(body.text)}"
    else:
        yield "    body        is no JSON: it cannot be told what is sensitive, and --raw shows its bytes"
