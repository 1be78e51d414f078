"""Plays the steps of a Dockerfile: bubblewrap stands in for the engine, and this machine for the base image.

What is made runs as the image would: on a root that is read-only, as a user who is not root and has no
capabilities, and as process 1. What differs is below it: this machine's Python and libraries.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.deploy.dockerfile import DOCKERFILE, Stage, context_of, stages_of
from tests.deploy.facts import ROOT
from tests.programs import missing, needed

WITHIN = 60.0
"""Seconds for whatever is waited for."""

OF_THE_MACHINE = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt")
ETC = Path("/etc")
"""Is shared file by file, for an engine puts some of its own in there."""
STAND_INS = "/stand-ins"
"""Holds `python` and `pip` as the base image has them."""

TOLD_TO_PIP = ("PIP_", "HTTP", "http", "SSL_", "REQUESTS_")
"""How the variables begin by which this machine says where packages are."""


NOTHING: Mapping[str, Any] = {}


class Around(NamedTuple):
    """What a container is given beside its image."""

    mounts: Mapping[str, Path] = NOTHING
    """Files and directories that it can read."""
    volumes: Mapping[str, Path] = NOTHING
    """Directories that it can write to."""
    tmpfs: Sequence[str] = ("/tmp",)  # noqa: S108 - its own
    environ: Mapping[str, str] = NOTHING
    user: str | None = None
    """`uid:gid`, if not the image's."""
    network: Sequence[str] = ()
    """The command that enters its network; this machine's otherwise."""


ALONE = Around()


class Image:
    """What the steps of a Dockerfile made, in a directory for each stage.

    `programs` are those that its base has: the name of each, and the words that run it here.
    """

    def __init__(
        self, directory: Path, stages: Sequence[Stage], programs: Mapping[str, str] = NOTHING
    ) -> None:
        self.stage = stages[-1]
        self.path = f"{STAND_INS}:/usr/bin:/bin"
        self._programs = {**_PYTHONS, **programs}
        self._roots = {stage.name: directory / (stage.name or "image") for stage in stages}
        for stage in stages:
            self._make(stage)

    @property
    def command(self) -> list[str]:
        """Its entry point."""
        words = self.stage.last("ENTRYPOINT").words
        assert words is not None, "a shell would stand between the entry point and SIGTERM"
        return words

    @property
    def health(self) -> list[str]:
        """What looks whether a container is well."""
        words = stages_of(f"FROM x\n{self.stage.last('HEALTHCHECK').rest}")[0].last("CMD").words
        assert words is not None
        return words

    def wrapped(self, command: Sequence[str], around: Around) -> list[str]:
        """The command line that runs a command in a container of it."""
        user, _, group = (around.user or self.stage.last("USER").rest).partition(":")
        return [
            *around.network,
            *_bwrap(*_when_run(self._roots[self.stage.name], around)),
            *("--remount-ro", "/"),
            *("--unshare-user", "--uid", user, "--gid", group, "--cap-drop", "ALL"),
            *("--unshare-pid", "--as-pid-1", "--chdir", self.stage.last("WORKDIR").rest),
            *_setting({"PATH": self.path} | self.stage.environment(self.path) | dict(around.environ)),
            *command,
        ]

    def run(
        self, *command: str, around: Around = ALONE, within: float = WITHIN
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in a container to its end."""
        wrapped = self.wrapped(command, around)
        return subprocess.run(wrapped, capture_output=True, text=True, check=False, timeout=within)

    def _make(self, stage: Stage) -> None:
        root, here = self._roots[stage.name], "/"
        _lay_out(root, self._programs)
        for step in stage.instructions:
            if step.word == "WORKDIR":
                here = step.rest
                (root / here[1:]).mkdir(parents=True, exist_ok=True)
            elif step.word == "COPY":
                source, target = step.rest.split()
                into = root / os.path.normpath(f"{here}/{target}")[1:]
                self._copy(source, into, step.options.get("from"))
            elif step.word == "RUN":
                self._run(root, here, step.rest)

    def _copy(self, source: str, into: Path, stage: str | None) -> None:
        if stage is not None:
            shutil.copytree(self._roots[stage] / source[1:], into, symlinks=True)
            return
        assert source == ".", "only the whole context is copied"
        for path in context_of(ROOT):
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, into / path, follow_symlinks=False)

    def _run(self, root: Path, here: str, command: str) -> None:
        told = {name: value for name, value in os.environ.items() if name.startswith(TOLD_TO_PIP)}
        done = subprocess.run(
            [
                *_bwrap(*_while_made(root)),
                *("--chdir", here),
                *_setting({"PATH": self.path, "HOME": "/tmp"} | told),  # noqa: S108 - one of its own
                *("/bin/sh", "-c", command),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


class Container:
    """A command that runs in an image, as process 1."""

    def __init__(self, process: "subprocess.Popen[bytes]", pid: int, log: Path) -> None:
        self._process = process
        self.pid = pid
        """Of its process 1, as this machine sees it."""
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def await_words(self, words: str) -> None:
        """Wait until it has said something."""
        give_up_at = time.monotonic() + WITHIN
        while words not in self.said:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < give_up_at, f"{words!r} was not said:\n{self.said}"
            time.sleep(0.02)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self, within: float = WITHIN) -> int:
        """Wait until it has ended by itself; its exit code."""
        return self._process.wait(within)

    def stop(self, within: float = WITHIN) -> int:
        """End it as an engine does, with SIGTERM to process 1 alone; its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self._process.wait(within)


@contextmanager
def container(image: Image, directory: Path, *command: str, around: Around) -> Iterator[Container]:
    """Run a command in a container meanwhile; what has not ended by itself is killed."""
    reading, writing = os.pipe()
    wrapped = image.wrapped(command, around)
    wrapped[len(around.network) + 1 : len(around.network) + 1] = ["--info-fd", str(writing)]
    log = directory / "said"
    with log.open("wb") as output:
        process = subprocess.Popen(wrapped, stdout=output, stderr=output, pass_fds=[writing])
    os.close(writing)
    with os.fdopen(reading) as told:
        about = told.read()
    assert about, log.read_text("utf-8", "replace")
    pid = json.loads(about)["child-pid"]
    try:
        yield Container(process, pid, log)
    finally:
        if process.poll() is None:
            os.kill(pid, signal.SIGKILL)
            process.wait(WITHIN)


def make_image(directory: Path) -> Image:
    """Play the Dockerfile; where bubblewrap is not to be had, the test is skipped, and fails in CI."""
    probe = [_program(), "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        missing(f"bubblewrap may make no namespaces here: {done.stderr.strip()}")
    return Image(directory, stages_of(DOCKERFILE.read_text()))


@cache
def _program() -> str:
    return needed("bwrap", "bubblewrap")


_PYTHONS = {
    "python": f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}",
    "pip": f"{sys.executable} -m pip",
}


def _shared() -> list[str]:
    """What of this machine stands in for the base image: its system, and the Python that runs the tests."""
    system = [path for path in OF_THE_MACHINE if Path(path).exists()]
    pythons = {sys.base_prefix, sys.prefix}
    return [*system, *sorted(path for path in pythons if not path.startswith(tuple(system)))]


def _places() -> list[str]:
    """The directories of a root on which others are mounted."""
    return [*_shared(), "/proc", "/dev", "/tmp", "/etc"]  # noqa: S108 - they are in the root


def _lay_out(root: Path, programs: Mapping[str, str]) -> None:
    for path in (*_places(), STAND_INS):
        (root / path[1:]).mkdir(parents=True, exist_ok=True)
    for name, line in programs.items():
        script = root / STAND_INS[1:] / name
        script.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        script.chmod(0o755)


def _bwrap(*mounted: str) -> list[str]:
    return [_program(), "--clearenv", "--die-with-parent", *mounted, "--proc", "/proc", "--dev", "/dev"]


def _while_made(root: Path) -> list[str]:
    """The root of a stage, to be written to."""
    own = ["--bind", str(root), "/", "--tmpfs", "/tmp"]  # noqa: S108 - in the root
    return [*own, *_bound("--ro-bind", {path: Path(path) for path in (*_shared(), str(ETC))})]


def _when_run(root: Path, around: Around) -> list[str]:
    """A root with what the image has and what the container is given, to which nobody can write."""
    tops = {Path(path).parts[1] for path in _places()}
    own = {f"/{path.name}": path for path in sorted(root.iterdir()) if path.name not in tops}
    given = {**around.mounts, **around.volumes}
    taken = {Path(*Path(target).parts[:3]) for target in given}
    etc = [path for path in sorted(ETC.iterdir()) if path not in taken and path.exists()]
    shared = {path: Path(path) for path in (*_shared(), *map(str, etc))}
    return [
        *_bound("--ro-bind", own),
        *("--dir", "/tmp"),  # noqa: S108 - in the root
        *(word for target in around.tmpfs for word in ("--tmpfs", target)),
        *_bound("--ro-bind", shared),
        *_bound("--ro-bind", around.mounts),
        *_bound("--bind", around.volumes),
    ]


def _bound(how: str, sides: Mapping[str, Path]) -> list[str]:
    return [word for target, source in sides.items() for word in (how, str(source), target)]


def _setting(environ: Mapping[str, str]) -> list[str]:
    return [word for name, value in environ.items() for word in ("--setenv", name, value)]
