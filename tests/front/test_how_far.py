"""Long counting is seen on a terminal, and on no other stderr."""

import pytest

from callboard.cli.how_far import count


def test_what_is_counted_is_seen_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert count(iter(range(12_345))) == 12_345
    told = capsys.readouterr()
    assert "12,345 found" in told.err
    assert told.out == ""


def test_nothing_is_told_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert count("abc") == 3
    assert capsys.readouterr() == ("", "")
