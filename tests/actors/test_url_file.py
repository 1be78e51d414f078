"""The URL of a server may stand in a file that the environment names."""

from pathlib import Path

import pytest

from callboard.actors.settings import load_settings
from callboard.messages.errors import ConfigurationError

SECRET = "hunter2"  # noqa: S105 - planted, to be looked for
URL = f"redis://worker:{SECRET}@valkey:6379/0"


def the_fault_of(directory: Path, environ: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ=environ, directory=directory)
    assert SECRET not in str(caught.value)
    (fault,) = caught.value.faults
    return fault


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_file_that_the_environment_names_holds_the_url(tmp_path: Path, end: str) -> None:
    (tmp_path / "secret").write_text(URL + end)
    (tmp_path / "callboard.toml").write_text('url = "redis://file"')
    for name in ("secret", str(tmp_path / "secret")):
        settings = load_settings(environ={"CALLBOARD_URL_FILE": name}, directory=tmp_path)
        assert settings.url == URL
        assert SECRET not in repr(settings)


def test_what_is_given_in_code_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(URL)
    environ = {"CALLBOARD_URL_FILE": "secret"}
    assert load_settings(url="redis://code", environ=environ, directory=tmp_path).url == "redis://code"


def test_a_url_and_a_file_with_one_are_not_both_taken(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(URL)
    environ = {"CALLBOARD_URL_FILE": "secret", "CALLBOARD_URL": URL}
    assert "remove one of them" in the_fault_of(tmp_path, environ)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read (No such file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "CALLBOARD_URL_FILE is empty"),
        (SECRET.encode(), "CALLBOARD_URL_FILE: the URL of a server begins with"),
        (f"{URL}\n{URL}\n".encode(), "has blanks in it"),
    ],
)
def test_a_file_that_holds_no_url_is_told_without_what_it_holds(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    assert told in the_fault_of(tmp_path, {"CALLBOARD_URL_FILE": "secret"})
