"""Plays a compose file without an engine: each container a process in namespaces and a network of its own.

What an engine reads is taken from the file: command, environment, user, secrets, configs, volumes, tmpfs,
networks, health checks, and in which order services start. Not played are restarts, ports that are opened on
the machine, and the images of others, for which the programs of this machine stand in.
"""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from callboard.messages.timing import duration_ms
from tests.deploy.engine import Around, Container, Image, container
from tests.deploy.network import Networks

File = dict[str, Any]


class Check(NamedTuple):
    """The health check of a service."""

    test: list[str]
    interval: float
    timeout: float
    start_period: float
    retries: int

    @classmethod
    def of(cls, service: File) -> "Check":
        """What a service says, in seconds."""
        said = service["healthcheck"]
        kind, *words = said["test"]
        assert kind in ("CMD", "CMD-SHELL")
        return cls(
            words if kind == "CMD" else ["/bin/sh", "-c", *words],
            _seconds(said["interval"]),
            _seconds(said["timeout"]),
            _seconds(said.get("start_period", "0s")),
            said["retries"],
        )

    @property
    def given_up_after(self) -> float:
        """Seconds until an engine takes a container for unhealthy that never was well."""
        return self.start_period + self.retries * self.interval


class Running(NamedTuple):
    """One container of a service."""

    service: File
    container: Container
    image: Image
    around: Around

    def asked(self, *command: str, within: float = 10.0) -> tuple[int, str]:
        """The exit code and the answer of a command beside it, in its image and on its network."""
        done = self.image.run(*command, around=self.around, within=within)
        return done.returncode, done.stdout + done.stderr

    def is_well(self) -> bool:
        """What its health check says now, as it is written."""
        check = Check.of(self.service)
        try:
            return self.asked(*check.test, within=check.timeout)[0] == 0
        except subprocess.TimeoutExpired:
            return False

    def await_well(self) -> float:
        """Wait until its health check says so; the seconds that took, no more than an engine allows."""
        allowed, began = Check.of(self.service).given_up_after, time.monotonic()
        while not self.is_well():
            assert self.container.is_running, self.container.said
            assert time.monotonic() - began < allowed, f"it is not well:\n{self.container.said}"
            time.sleep(0.1)
        return time.monotonic() - began

    def stop(self) -> int:
        """End it as an engine does, by SIGTERM and within its grace; its exit code."""
        return self.container.stop(within=_seconds(self.service.get("stop_grace_period", "10s")))


class Project:
    """A compose file that is played."""

    def __init__(self, file: File, place: Path, images: Mapping[str, Image], directory: Path) -> None:
        self.file = file
        self._place = place
        self._images = images
        self._directory = directory
        self._networks = Networks(directory, list(file["networks"]))
        self._open = ExitStack()
        self.running: dict[str, list[Running]] = {}

    def up(self, name: str) -> list[Running]:
        """Start a service, after those that it waits for; all that is started for it is well then."""
        if name not in self.running:
            service = self.file["services"][name]
            self._await_others(service)
            count = service.get("deploy", {}).get("replicas", 1)
            self.running[name] = [
                self._open.enter_context(self.started(name, number)) for number in range(count)
            ]
            for each in self.running[name]:
                each.await_well()
        return self.running[name]

    def run(self, name: str) -> tuple[int, str]:
        """`docker compose run --rm NAME`: its exit code, and what it said."""
        self._await_others(self.file["services"][name])
        with self.started(name) as once:
            return once.container.wait(), once.container.said

    @contextmanager
    def started(self, name: str, number: int = 0) -> Iterator[Running]:
        """One container of a service, that need not be well."""
        service = self.file["services"][name]
        directory = self._directory / f"{name}-{number}"
        directory.mkdir(exist_ok=True)
        with self._networks.place(name, service["networks"]) as place:
            image = self._images[service["image"]]
            around = self._around(service, place.network, place.resolver)
            command = [*image.command, *service["command"]]
            with container(image, directory, *command, around=around) as process:
                yield Running(service, process, image, around)

    def close(self) -> None:
        """End all that runs."""
        self._open.close()
        self._networks.close()

    def _await_others(self, service: File) -> None:
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            self.up(other)

    def _around(self, service: File, network: Sequence[str], resolver: Path) -> Around:
        assert service["read_only"], "a root is read-only here"
        assert service["cap_drop"] == ["ALL"], "a container has no capabilities here"
        assert service["security_opt"] == ["no-new-privileges:true"], "bubblewrap always sees to it"
        mounts = {"/etc/resolv.conf": resolver}
        volumes = {}
        for source, target, *how in (each.split(":") for each in service.get("volumes", [])):
            if source.startswith("."):
                assert how == ["ro"]
                mounts[target] = (self._place / source).resolve(strict=True)
            else:
                volumes[target] = self._volume(source)
        for kind, default in {"secrets": "/run/secrets", "configs": ""}.items():
            for each in service.get(kind, []):
                said = {"source": each} if isinstance(each, str) else each
                file = self.file[kind][said["source"]]["file"]
                mounts[said.get("target", f"{default}/{said['source']}")] = (self._place / file).resolve()
        return Around(
            mounts=mounts,
            volumes=volumes,
            tmpfs=service.get("tmpfs", []),
            environ=service.get("environment", {}),
            user=service.get("user"),
            network=network,
        )

    def _volume(self, name: str) -> Path:
        assert name in self.file["volumes"]
        directory = self._directory / "volumes" / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory


def _seconds(duration: str) -> float:
    return duration_ms(duration) / 1000
