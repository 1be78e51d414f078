"""Cancelling and rescheduling by what a publisher has in hand: a receipt, an event's id or a delivery's."""

from collections.abc import Callable, Iterable, Sequence

from .mailbox.schedule import Became, Changed
from .receipt import Receipt

Change = Callable[[str], tuple[Changed, ...]]
"""Changes what is known under the id of an event or a delivery."""


def changed_by(change: Change, event: str | Receipt, actors: Sequence[str]) -> tuple[Changed, ...]:
    """What became of each delivery; of a receipt also of those that nothing is known of any more.

    `actors` are those of the app: the mailbox knows them only once a worker has told it of them. Raises
    `TypeError` for what is neither.
    """
    if isinstance(event, Receipt):
        changed = _known(change(event.id))
        known = {each.actor for each in changed}
        others = [each.actor for each in event.deliveries if each.actor not in known]
        return (*changed, *_each(change, others, event.id))
    if not isinstance(event, str):
        raise TypeError(
            f"a {type(event).__name__} tells no delivery: "
            "give what publish answered, its id, or a delivery's id"
        )
    changed = _known(change(event)) or _known(_each(change, actors, event))
    return changed or (Changed(event, Became.UNKNOWN),)


def _each(change: Change, actors: Iterable[str], event: str) -> tuple[Changed, ...]:
    return tuple(each for actor in actors for each in change(f"{actor}:{event}"))


def _known(changed: Iterable[Changed]) -> tuple[Changed, ...]:
    return tuple(each for each in changed if each.became is not Became.UNKNOWN)
