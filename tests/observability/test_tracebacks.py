"""An exception is told without credentials, however long its text is."""

import pytest

from callboard.messages.conceal import LONGEST
from callboard.observability.tracebacks import told

URL = "redis://shop:p4ssw0rd@db:6379/0 is away"


@pytest.mark.parametrize("length", [0, LONGEST - 100, LONGEST - 20, LONGEST, 3 * LONGEST])
def test_a_password_at_the_end_of_a_long_text_is_masked(length: int) -> None:
    text = told(ConnectionError("line of words\n" * (length // 14) + URL))
    assert text.endswith("redis://shop:***@db:6379/0 is away")
    assert "p4ssw0rd" not in text
    assert len(text) <= LONGEST


def test_a_text_without_lines_that_is_too_long_to_look_through_is_not_told() -> None:
    assert told(ConnectionError("x" * 2 * LONGEST + URL)) == "..."


def test_what_an_event_holds_is_masked_before_a_text_is_cut() -> None:
    text = told(ValueError("\n".join(["4111-1111"] * 9000)), ["4111-1111"])
    assert "4111" not in text
    assert text.startswith("...\n***\n")
