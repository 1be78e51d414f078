"""Resources are made once in a worker process, when they are wanted first, and closed with it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callboard import Callboard, Context
from callboard.actors.resources import Resources
from callboard.messages.errors import ConfigurationError
from tests.actors.rehearsal import AT_ONCE, OrderPlaced, orders, queue_of, until, work_off, working


class Mailer:
    """Remembers what became of it."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.sent: list[str] = []
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Ledger:
    """Has nothing to close."""


@pytest.fixture(autouse=True)
def _count_anew() -> None:
    Mailer.made = 0


def test_a_resource_is_made_when_it_is_asked_for_first_and_then_kept() -> None:
    resources = Resources()
    resources.provide(Mailer, Mailer)
    assert resources.knows(Mailer)
    assert not resources.knows(Ledger)
    assert Mailer.made == 0
    assert resources.get(Mailer) is resources.get(Mailer)
    assert Mailer.made == 1


def test_many_threads_that_ask_at_once_get_the_same() -> None:
    resources = Resources()
    start = threading.Barrier(8)

    def slowly() -> Mailer:
        time.sleep(0.02)  # makes the others come in the middle
        return Mailer()

    resources.provide(Mailer, slowly)
    got: list[Mailer] = []

    def ask() -> None:
        start.wait(10)
        got.append(resources.get(Mailer))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in got}) == 1
    assert Mailer.made == 1


def test_a_factory_may_ask_for_another_resource() -> None:
    resources = Resources()
    resources.provide(Ledger, Ledger)
    resources.provide(list, lambda: [resources.get(Ledger)])
    assert resources.get(list) == [resources.get(Ledger)]


def test_a_context_manager_is_entered_and_what_it_gives_is_the_resource() -> None:
    resources = Resources()
    told: list[str] = []

    @contextmanager
    def open_mailer() -> Iterator[Mailer]:
        told.append("opened")
        yield Mailer()
        told.append("closed")

    resources.provide(Mailer, open_mailer)
    assert isinstance(resources.get(Mailer), Mailer)
    assert told == ["opened"]
    resources.close()
    assert told == ["opened", "closed"]


def test_closing_goes_from_the_latest_to_the_first_and_happens_once() -> None:
    resources = Resources()
    told: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None:
            told.append(self.name)

    class First(Named): ...

    class Second(Named): ...

    resources.provide(First, lambda: First("first"))
    resources.provide(Second, lambda: Second("second"))
    resources.get(First)
    resources.get(Second)
    resources.close()
    resources.close()
    assert told == ["second", "first"]


def test_what_was_closed_is_made_anew_when_it_is_asked_for_again() -> None:
    resources = Resources()
    resources.provide(Mailer, Mailer)
    first = resources.get(Mailer)
    resources.close()
    assert resources.get(Mailer) is not first
    assert first.closed == 1


def test_a_type_is_provided_once() -> None:
    resources = Resources()
    resources.provide(Mailer, Mailer)
    with pytest.raises(ConfigurationError, match="Mailer is provided twice"):
        resources.provide(Mailer, Mailer)


def test_one_fault_in_closing_does_not_keep_the_others_open() -> None:
    resources = Resources()

    class Broken:
        def close(self) -> None:
            raise OSError("no")

    resources.provide(Mailer, Mailer)
    resources.provide(Broken, Broken)
    mailer = resources.get(Mailer)
    resources.get(Broken)
    with pytest.raises(OSError, match="no"):
        resources.close()
    assert mailer.closed == 1


def test_handlers_share_one_resource_and_may_take_several(memory_app: Callboard) -> None:
    seen: list[tuple[Mailer, Ledger | None]] = []
    memory_app.provide(Mailer, Mailer)
    memory_app.provide(Ledger, Ledger)

    @memory_app.actor
    def one(event: OrderPlaced, mailer: Mailer) -> None:
        seen.append((mailer, None))

    @memory_app.actor
    async def two(event: OrderPlaced, ctx: Context, mailer: Mailer, ledger: Ledger) -> None:
        assert ctx.actor == "two"
        seen.append((mailer, ledger))

    memory_app.publish_many(orders(10))
    work_off(memory_app)
    assert len({id(mailer) for mailer, _ in seen}) == 1
    assert len({id(ledger) for _, ledger in seen if ledger is not None}) == 1
    assert len(seen) == 20


def used_in_one_delivery(app: Callboard) -> list[Mailer]:
    """The mailers that the handler of one event was given."""
    kept: list[Mailer] = []
    app.provide(Mailer, Mailer)

    @app.actor
    def handler(event: OrderPlaced, mailer: Mailer) -> None:
        kept.append(mailer)

    app.publish(OrderPlaced("A"))
    work_off(app)
    return kept


def test_closing_the_app_closes_its_resources(memory_app: Callboard) -> None:
    (mailer,) = used_in_one_delivery(memory_app)
    memory_app.close()
    assert mailer.closed == 1


def test_a_worker_that_stops_closes_the_resources_of_its_process(memory_app: Callboard) -> None:
    (mailer,) = used_in_one_delivery(memory_app)
    assert mailer.closed == 1


def test_a_resource_that_cannot_be_made_fails_the_attempt_and_is_tried_again(memory_app: Callboard) -> None:
    tries: list[int] = []

    def unreliable() -> Mailer:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("no connection")
        return Mailer()

    memory_app.provide(Mailer, unreliable)

    @memory_app.actor(retry=AT_ONCE)
    def handler(event: OrderPlaced, mailer: Mailer) -> None:
        mailer.sent.append(event.order_id)

    memory_app.publish(OrderPlaced("A"))
    with working(memory_app):
        until(lambda: queue_of(memory_app).succeeded, "the third attempt")
    assert (len(tries), Mailer.made) == (3, 1)
