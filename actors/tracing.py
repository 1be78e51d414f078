"""The spans of events on their way in: begun when an event is prepared, ended when it is posted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..messages.errors import PublishError
from .prepared import Prepared
from .receipt import Receipt

if TYPE_CHECKING:
    from ..observability.spans import Publishing, Spans

Results = list[Receipt | PublishError]
"""What became of each event of a chunk."""


def begin_span(spans: "Spans", contract: str, identity: str, correlation_id: str | None) -> "Publishing":
    """Begin the span of an event that is being prepared."""
    conversation = correlation_id or identity
    return spans.publish(
        contract,
        {"messaging.message.id": identity, "messaging.message.conversation_id": conversation},
    )


@contextmanager
def spans_of(chunk: Sequence[Prepared | PublishError]) -> Iterator[Callable[[Results], Results]]:
    """End the spans of the events of a chunk when it has been posted, or could not be."""
    results: Results = []

    def tell(told: Results) -> Results:
        results.extend(told)
        return told

    failed: BaseException | None = None
    try:
        yield tell
    except BaseException as error:
        failed = error
        raise
    finally:
        for position, event in enumerate(chunk):
            if isinstance(event, Prepared) and event.span is not None:
                result = results[position] if results else failed
                event.span.end(result if isinstance(result, BaseException) else None)
