"""An embedded server lives in any private directory, and others are refused with the mend."""

import os
import shutil
import socketserver
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from callboard.actors.embedded import EmbeddedServer
from callboard.messages.errors import EmbeddedServerError
from tests.actors.embedded.programs import eventually, is_there, pid_of, read, written


def test_a_directory_deleted_meanwhile_is_made_anew(home: Path, server: EmbeddedServer) -> None:
    server.open()
    before = pid_of(server)
    shutil.rmtree(home)
    server.open()
    assert server.pid() != before
    eventually(lambda: not is_there(before), "the server without a directory ends")
    written(server)


def test_a_socket_deleted_meanwhile_is_made_anew(home: Path, server: EmbeddedServer) -> None:
    written(server)
    (home / "server.sock").unlink()
    assert read(server) == b"value"


def test_a_stale_socket_does_no_harm(home: Path, server: EmbeddedServer) -> None:
    home.mkdir(mode=0o700)
    with socketserver.UnixStreamServer(str(home / "server.sock"), socketserver.StreamRequestHandler):
        pass
    server.open()


@pytest.mark.parametrize("name", ["long" * 50, "with blank and 'quotes\"", "50%#a?b=c", "--port", "ä"])
def test_any_directory_will_do(name: str, tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / name)
    written(server)
    assert read(server) == b"value"
    pid = pid_of(server)
    server.close()
    eventually(lambda: not is_there(pid), "the server ends")
    assert (tmp_path / name / "appendonlydir").is_dir()
    folder = Path(unquote(urlsplit(server.url).path)).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    if folder != server.home:
        folder.rmdir()


def test_a_short_place_for_the_socket_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("long" * 50))
    folder = Path(urlsplit(server.url).path).parent
    folder.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedServerError, match="not a private directory of yours"):
            server.open()
    finally:
        folder.rmdir()


def test_an_empty_directory_is_made_private(home: Path, server: EmbeddedServer) -> None:
    home.mkdir(mode=0o755)
    server.open()
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_directory_with_something_in_it_that_is_open_to_others_is_refused(home: Path) -> None:
    home.mkdir(mode=0o755)
    (home / "thesis.txt").touch()
    with pytest.raises(EmbeddedServerError, match="chmod 700"):
        EmbeddedServer(home).open()
    assert home.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_refused(home: Path) -> None:
    home.mkdir(mode=0o700)
    os.chown(home, 12345, -1)
    with pytest.raises(EmbeddedServerError, match="belongs to another user"):
        EmbeddedServer(home).open()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_place_of_the_directory_is_told_of(below: str, home: Path) -> None:
    home.write_text("not a directory")
    with pytest.raises(EmbeddedServerError, match="CALLBOARD_HOME"):
        EmbeddedServer(home / below).open()


def test_a_read_only_directory_is_told_of(home: Path) -> None:
    home.mkdir(mode=0o500)
    if os.access(home, os.W_OK):
        pytest.skip("this user may write everywhere")
    try:
        with pytest.raises(
            EmbeddedServerError, match=r"cannot hold the embedded server \(Permission denied\)"
        ):
            EmbeddedServer(home).open()
    finally:
        home.chmod(0o700)


def test_a_directory_where_nothing_can_be_made_is_told_of() -> None:
    nowhere = Path("/proc/callboard")
    with pytest.raises(EmbeddedServerError, match="cannot hold the embedded server"):
        EmbeddedServer(nowhere).open()
