"""Where errors come from: the same fault has the same origin, others have others."""

import json
from collections.abc import Callable

from callboard.messages.delivery import error_record
from callboard.messages.origin import origin_of


def origin(fails: Callable[[], object], *, deep: bool = True) -> str:
    """The origin of what a function raises."""
    try:
        fails()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return origin_of(error, deep=deep)
    raise AssertionError("it did not fail")


def pay(amount: float) -> float:
    return 1 / amount


def by_one_way() -> float:
    return pay(0)


def by_another() -> float:
    return pay(0.0)


def made(source: str, name: str = "fails") -> Callable[[], object]:
    """A function of a module that is written here."""
    module: dict[str, object] = {"__name__": "shop"}
    exec(compile(source, "shop.py", "exec"), module)  # noqa: S102 - so that its lines can move
    fails = module[name]
    assert callable(fails)
    return fails


def test_the_same_fault_has_the_same_origin() -> None:
    assert origin(by_one_way) == origin(by_one_way)
    assert len(origin(by_one_way)) == 12
    int(origin(by_one_way), 16)


def test_another_way_to_it_another_type_and_another_function_have_another() -> None:
    assert origin(by_one_way) != origin(by_another)
    assert origin(lambda: pay(0)) != origin(by_one_way)
    raising_value = made("def fails():\n    raise ValueError")
    assert origin(raising_value) != origin(made("def fails():\n    raise KeyError"))


def test_a_line_that_moves_and_a_text_that_differs_change_nothing() -> None:
    here = made("def fails():\n    raise ValueError('A-1')")
    moved = made("x = 1\n\n\ndef fails():\n    y = 2\n    raise ValueError('A-2')")
    assert origin(here) == origin(moved)


def test_what_libraries_do_inside_does_not_matter() -> None:
    def deeper() -> object:
        return json.loads("[[[[x]]]]")

    def deep() -> object:
        return json.loads("x")

    deeper.__code__ = deeper.__code__.replace(co_qualname="read", co_name="read")
    deep.__code__ = deep.__code__.replace(co_qualname="read", co_name="read")
    assert origin(deep) == origin(deeper)


def test_how_deep_a_recursion_was_does_not_matter() -> None:
    source = "def down(n):\n    return down(n - 1) if n else 1 / 0\ndef fails():\n    down({})"
    assert origin(made(source.format(3))) == origin(made(source.format(300)))


def test_an_interruption_goes_by_the_function_it_began_in() -> None:
    source = "def near():\n    raise ValueError\ndef far():\n    near()\ndef fails():\n    {}()"
    near, far = made(source.format("near")), made(source.format("far"))
    assert origin(near) != origin(far)
    assert origin(near, deep=False) == origin(far, deep=False)


def test_an_error_that_was_never_raised_has_an_origin_too() -> None:
    assert origin_of(ValueError("x")) == origin_of(ValueError("y"))
    assert error_record(ValueError("x"), 1).origin == origin_of(ValueError())


def test_an_error_that_sums_up_others_goes_by_its_cause() -> None:
    def summed_up(fails: Callable[[], object]) -> str:
        whole = ValueError("so many failed")
        try:
            fails()
        except ArithmeticError as error:
            whole.__cause__ = error
        return origin_of(whole)

    assert summed_up(by_one_way) == summed_up(by_one_way)
    assert len({summed_up(by_one_way), summed_up(by_another), origin_of(ValueError())}) == 3
