"""The machine and the versions that the figures hold for."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import msgspec

QUIET_LOAD = 0.5
"""Load for each core above which others are at work and the figures are of little use."""


class Machine(msgspec.Struct, frozen=True):
    """What ran the benchmarks."""

    cpu: str
    cores: int
    python: str
    server: str
    libraries: str
    load: float
    """Average over the minute before the start."""

    @property
    def is_busy(self) -> bool:
        """Whether others were at work when it began."""
        return self.load > QUIET_LOAD * self.cores

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores; {self.python}; {self.server}, AOF everysec, unix socket; "
            f"{self.libraries}; load {self.load:.2f} at the start"
        )


def look(server: str) -> Machine:
    """Describe the machine; to be called before it is given work."""
    names = ("dramatiq", "redis", "hiredis", "msgspec")
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        server=server,
        libraries=", ".join(f"{name} {version(name)}" for name in names),
        load=os.getloadavg()[0],
    )


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
