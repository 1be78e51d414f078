"""Networks of their own for containers: bridges, an address for each, and names, as an engine makes them.

All of it stands in namespaces that end with their processes, so nothing of it is seen on this machine.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.deploy.facts import ROOT
from tests.deploy.names import Known
from tests.programs import missing, needed

WITHIN = 20.0
"""Seconds for a process to end."""

LONGEST = 600
"""Seconds after which a namespace ends by itself, when the tests were killed."""

Process = subprocess.Popen[bytes]


class Place(NamedTuple):
    """Where a container is on the networks."""

    network: Sequence[str]
    """The command that enters it."""
    resolver: Path
    """The file that says who knows names."""


class Networks:
    """Networks of some names, between which nothing is handed on."""

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        self._names = names
        self._known: list[Known] = []
        self._directory = directory
        self._file = directory / "names.json"
        self._tell_names()
        apart = [needed("unshare", "util-linux"), "--user", "--map-root-user", "--net"]
        self._holder = _started([*apart, sys.executable, "-m", "tests.deploy.names", str(self._file)])
        self._places: list[Process] = []
        _set_up(
            self._holder,
            (
                line
                for number in range(len(names))
                for line in (
                    f"link add br-{number} type bridge",
                    f"addr add {_address(number, 1)}/24 dev br-{number}",
                    f"link set br-{number} up",
                )
            ),
        )

    @contextmanager
    def place(self, service: str, networks: Sequence[str]) -> Iterator[Place]:
        """A place on some of the networks, known by the name of a service meanwhile."""
        apart = [*_entering(self._holder), needed("unshare", "util-linux"), "--net"]
        process = _started([*apart, "sh", "-c", f"echo ready; exec sleep {LONGEST}"])
        self._places.append(process)
        last = 1 + len(self._places)
        numbers = [self._names.index(name) for name in networks]
        self._connect(process, last, numbers)
        resolver = self._directory / f"resolv-{last}.conf"
        resolver.write_text(f"nameserver {_address(numbers[0], 1)}\noptions timeout:1\n")
        known = Known(service, {self._names[number]: _address(number, last) for number in numbers})
        self._known.append(known)
        self._tell_names()
        try:
            yield Place(_entering(process), resolver)
        finally:
            self._known.remove(known)
            self._tell_names()

    def close(self) -> None:
        """End all of them."""
        for each in (*self._places, self._holder):
            each.kill()
            each.wait(WITHIN)
            assert each.stdout is not None
            each.stdout.close()

    def _connect(self, process: Process, last: int, numbers: Sequence[int]) -> None:
        for number in numbers:
            pair = f"link add v{last}-{number} type veth peer name eth{number} netns {process.pid}"
            _set_up(self._holder, [pair, f"link set v{last}-{number} master br-{number} up"])
            address = f"addr add {_address(number, last)}/24 dev eth{number}"
            _set_up(process, ["link set lo up", address, f"link set eth{number} up"])

    def _tell_names(self) -> None:
        made = self._file.with_suffix(".new")
        made.write_text(json.dumps(self._known))
        made.replace(self._file)


def _address(number: int, last: int) -> str:
    return f"10.89.{number}.{last}"


def _entering(process: Process) -> list[str]:
    program = needed("nsenter", "util-linux")
    return [program, f"--target={process.pid}", "--user", "--net", "--preserve-credentials"]


def _started(command: list[str]) -> Process:
    """A process that has said that its namespace is there."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        process.wait(WITHIN)
        process.stdout.close()
        missing("namespaces with networks of their own may not be made here")
    return process


def _set_up(process: Process, lines: Iterable[str]) -> None:
    program = [*_entering(process), needed("ip", "iproute2"), "-batch", "-"]
    done = subprocess.run(program, input="\n".join(lines), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        missing(f"networks cannot be made here: {done.stderr}")
