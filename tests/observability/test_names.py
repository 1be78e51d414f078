"""Labels have declared values and no others."""

from callboard.observability.cells import Book
from callboard.observability.metrics import ERRORS, INSTRUMENTS, OTHER, OVERFLOW, PLAIN, Kind
from callboard.observability.names import MOST_ERRORS, Names


def test_only_declared_names_are_told_apart_and_the_rest_is_counted() -> None:
    names, book = Names(), Book()
    names.declare(queues=["orders"], actors=["note"], events=["order.placed"])
    assert names.of("queue", "orders", book) == "orders"
    assert names.of("actor", "note", book) == "note"
    assert names.of("event", "order.placed", book) == "order.placed"
    assert names.of("event", PLAIN, book) == PLAIN
    assert not book
    assert names.of("event", "note", book) == OTHER
    assert names.of("queue", "", book) == OTHER
    assert book.counters[OVERFLOW.name] == {("event",): 1, ("queue",): 1}


def test_names_that_are_declared_later_add_to_those_before() -> None:
    names, book = Names(), Book()
    names.declare(events=["a"], plain=["x"])
    names.declare(events=["b"], plain=["y"])
    assert [names.of("event", each, book) for each in "ab"] == ["a", "b"]
    assert names.plain == {"x", "y"}


def test_a_hundred_thousand_hostile_names_are_one_series() -> None:
    names, book = Names(), Book()
    told = {names.of("event", f'evil"{number}\n{{', book) for number in range(100_000)}
    assert told == {OTHER}
    assert book.counters == {OVERFLOW.name: {("event",): 100_000}}


def test_the_first_classes_of_errors_are_told_apart() -> None:
    names, book = Names(), Book()
    told = [names.of_error(f"Error{number}", book) for number in range(100_000)]
    assert told[:MOST_ERRORS] == [f"Error{number}" for number in range(MOST_ERRORS)]
    assert set(told[MOST_ERRORS:]) == {OTHER}
    assert names.of_error("Error3", book) == "Error3"
    assert names.of_error(OTHER, book) == OTHER
    assert book.counters[OVERFLOW.name] == {("error",): 100_000 - MOST_ERRORS}


def test_what_is_no_name_of_a_class_is_none() -> None:
    names, book = Names(), Book()
    assert {names.of_error(each, book) for each in ("", "a b", 'x"', "no\nname", "N" * 81, "1st")} == {OTHER}
    assert names.of_error("Fehlermeldungsübergröße", book) == "Fehlermeldungsübergröße"


def test_the_names_of_instruments_follow_prometheus() -> None:
    assert len({each.name for each in INSTRUMENTS}) == len(INSTRUMENTS)
    for each in INSTRUMENTS:
        assert each.name.endswith("_total") == (each.kind is Kind.COUNTER), each.name
        assert bool(each.buckets) == (each.kind is Kind.HISTOGRAM), each.name
        assert tuple(sorted(each.buckets)) == each.buckets
        assert each.help.endswith(".")
        assert "\n" not in each.help
        assert not set(each.labels) & {"id", "key", "tenant", "pid", "host", "le", "instance"}
    assert ERRORS.labels == ("actor", "error")
