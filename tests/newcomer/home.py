"""A home where nothing of Callboard has been before, and the terminals in it."""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .guide import Line, Stumble
from .terminal import Terminal

PROGRAMS = (
    *("sh", "bash", "env", "make", "git", "awk"),
    *("basename", "cat", "chmod", "cp", "dirname", "head", "ls", "ln", "mkdir", "mv", "rm", "sort", "tail"),
    *("touch", "tr", "true", "uname"),
)
"""All that is on the PATH of a newcomer, besides `python3`."""

FOR_PIP = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_", "REQUESTS_CA_BUNDLE")
"""How what is inherited begins: what pip needs where packages are reached in a way of the machine's own."""


class Home:
    """A directory of its own, with an environment in which nothing is inherited but the way to packages."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path = path
        self.environment = dict(environment)

    @classmethod
    def made(cls, path: Path) -> "Home":
        """A new home in an empty directory, with the Python that runs this."""
        programs = path / "bin"
        programs.mkdir(parents=True)
        for name in PROGRAMS:
            if found := shutil.which(name):
                (programs / name).symlink_to(found)
        base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        (programs / "python3").symlink_to(base)
        own = {"HOME": str(path), "PATH": str(programs), "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        return cls(path, _for_pip(os.environ) | own)

    def directory(self, name: str) -> Path:
        """An empty directory in it."""
        made = self.path / name
        made.mkdir()
        return made

    def run(self, line: Line, directory: Path, within: float) -> str:
        """Type a line and wait until it succeeds; what it said."""
        with self.open(line, directory) as terminal:
            return terminal.to_its_end(within)

    @contextmanager
    def open(self, line: Line, directory: Path) -> Iterator[Terminal]:
        """Type a line into a terminal of its own, which is closed in any case."""
        terminal = Terminal(line, directory, self.environment)
        try:
            yield terminal
        finally:
            terminal.close()

    def activate(self, line: Line, directory: Path, within: float) -> None:
        """Type a line that changes the environment, and keep that for all that is typed from now on."""
        said = self.run(Line(line.number, f"{line.text} && env -0"), directory, within)
        self.environment |= dict(
            each.split("=", 1) for each in said.split("\0") if each.startswith(("PATH=", "VIRTUAL_ENV="))
        )

    def await_nothing_running(self, within: float) -> None:
        """Wait until no process of this home is left; Linux alone tells which are. Seconds.

        Raises:
            Stumble: Some are left.
        """
        deadline = time.monotonic() + within
        while left := self._processes():
            if time.monotonic() > deadline:
                raise Stumble("README.md: after all was ended these still run:\n    " + "\n    ".join(left))
            time.sleep(0.05)

    def _processes(self) -> list[str]:
        """The command lines of what runs with this home in its environment."""
        mine = f"HOME={self.path}".encode()
        found: list[str] = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mine in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has ended meanwhile, or is another user's
        return [each for each in found if each]  # a dead one that is not waited for has no words left


def _for_pip(environ: Mapping[str, str]) -> dict[str, str]:
    """Of an environment, how packages are reached."""
    kept = {name: value for name, value in environ.items() if name.upper().startswith(FOR_PIP)}
    for path in (".config/pip/pip.conf", ".pip/pip.conf"):
        if (own := Path.home() / path).exists():
            kept.setdefault("PIP_CONFIG_FILE", str(own))
    return kept
