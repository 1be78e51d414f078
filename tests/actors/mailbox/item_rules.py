"""What the state machine does with the items of deliveries, in the model and in the subject."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from msgspec.structs import replace

from callboard.actors.mailbox.ledger import Ledger, Notes
from callboard.actors.mailbox.mailbox import Mailbox, Settlement
from callboard.actors.mailbox.records import EndedRecord, Span, records_in
from callboard.messages.delivery import Delivery, ErrorRecord, OutcomeKind
from callboard.messages.items import ItemRecord, ItemStatus
from tests.actors.mailbox.conformance import Stage

Pair = tuple[Delivery, Delivery]
"""A delivery as the model handed it out, and as the subject did."""

items = st.builds(
    lambda key, status, rejected: ItemRecord(
        key,
        status,
        1,
        1,
        2,
        None if status is ItemStatus.SUCCEEDED else ErrorRecord("ConnectionError", "no", 2),
        rejected and status is ItemStatus.FAILED,
    ),
    st.sampled_from("abc"),
    st.sampled_from(ItemStatus),
    st.booleans(),
)


class ItemRules(RuleBasedStateMachine):
    """Writes items of what is held, and of what was, and compares what is kept of them."""

    model: Stage
    subject: Stage
    held: list[Pair]

    def __init__(self) -> None:
        super().__init__()
        self.with_items: set[tuple[str, int]] = set()
        """Held deliveries, by id and fence, of which items were written."""

    @precondition(lambda self: self.held)
    @rule(choice=st.integers(0, 1000), some=st.lists(items, max_size=3, unique_by=lambda each: each.field))
    def write_items(self, choice: int, some: list[ItemRecord]) -> None:
        self.write(self.held[choice % len(self.held)], some)

    def write(self, pair: Pair, some: list[ItemRecord]) -> list[bool]:
        """Write items of a delivery that one may hold no longer."""
        mine, theirs = pair
        written = self.model.mailbox.ledger.write([Notes(mine, some)])
        assert self.subject.mailbox.ledger.write([Notes(theirs, some)]) == written
        if some and written == [True]:
            self.with_items.add((mine.id, mine.fence))
        assert _of(self.subject.mailbox.ledger, mine.id) == _of(self.model.mailbox.ledger, mine.id)
        return written

    @rule(queue=st.sampled_from(["orders", "stock"]))
    def items_of_the_dead_are_kept_alike(self, queue: str) -> None:
        letters = [letters_in_order(each.mailbox, queue) for each in (self.model, self.subject)]
        for mine, theirs in zip(*letters, strict=True):
            kept = sorted(self.model.mailbox.ledger.of_ended(mine.id), key=lambda each: each.field)
            assert (
                sorted(self.subject.mailbox.ledger.of_ended(theirs.id), key=lambda each: each.field) == kept
            )
            assert not kept or mine.history.items

    def told_of_items(self, settlement: Settlement, first: Delivery) -> Settlement:
        """A settlement that says what its worker knows: whether it or an earlier attempt wrote items."""
        assert settlement.history is not None
        wrote = first.history.items or (first.id, first.fence) in self.with_items
        return replace(settlement, history=replace(settlement.history, items=wrote))


def letters_in_order(mailbox: Mailbox, queue: str) -> list[EndedRecord]:
    """The dead letters of a queue, each identity's in the order of its deaths; none that a handler published,
    for their names are the mailboxes' own."""
    letters = [
        each
        for each in records_in(mailbox.records, Span(queue, OutcomeKind.DEAD, bodies=True))
        if each.id.rpartition("#")[2].isdigit()
    ]
    return sorted(letters, key=lambda each: (each.delivery, int(each.id.rpartition("#")[2])))


def _of(ledger: Ledger, delivery: str) -> list[ItemRecord]:
    return sorted(ledger.of(delivery), key=lambda each: each.field)
