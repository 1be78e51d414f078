"""The settings of an app: given in code, by the environment or in callboard.toml."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from ..messages.errors import ConfigurationError
from ..observability.levels import LEVELS
from .server_url import read_url, redact_url
from .url_file import URL_FILE, url_in_file

FILE = "callboard.toml"
PREFIX = "CALLBOARD_"

RUN_METRICS = "CALLBOARD_RUN_METRICS"
"""By this a command tells the processes it starts which address it was given: that goes before all else."""

DEFAULTS: Mapping[str, str | None] = {
    "url": None,
    "home": ".callboard",
    "workspace": "default",
    "metrics": "127.0.0.1:9191",
    "log_level": "info",
    "dead_letters": "1000000",
    "force": "false",
}
"""Every setting by its name; in the environment it is in capitals, after `CALLBOARD_`."""

WORKSPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:\[\]/@]+):(?P<port>[0-9]{1,5})")
LARGEST_PORT = 65_535
SERVICE_LINK = re.compile(
    r"CALLBOARD_([A-Z0-9_]+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""Variables that are nobody's setting: Kubernetes tells by them where the Services of a namespace are."""


class Settings(msgspec.Struct, frozen=True):
    """Where an app keeps its deliveries, and where it shows its metrics. Its repr shows no password."""

    url: str | None
    """The server's, as redis-py reads it; None for the embedded server."""
    home: Path
    """The directory of the embedded server, absolute."""
    workspace: str
    metrics: str | None
    """`host:port` where worker pools serve their metrics; None for nowhere."""
    is_metrics_default: bool = True
    """Nobody asked for that address."""
    log_level: str = "info"
    """From which level on lines are written, where Callboard has set the logs up."""
    dead_letters: int = 1_000_000
    """Records of one kind that a queue keeps: beyond them the oldest is forgotten."""
    force: bool = False
    """To work on a server that may lose events, too."""

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Settings({told})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        told = {**msgspec.structs.asdict(self), "url": self.url and redact_url(self.url)}
        return list(told.items())


class _Given(msgspec.Struct, frozen=True):
    """One value, and where it was given."""

    value: object
    where: str


def load_settings(
    *,
    url: str | None = None,
    home: Path | str | None = None,
    workspace: str | None = None,
    metrics: str | None = None,
    log_level: str | None = None,
    dead_letters: int | None = None,
    force: bool | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    other_faults: Iterable[str] = (),
) -> Settings:
    """What is given here, else in the environment, else in callboard.toml, else the defaults.

    `environ` is the process's by default. `directory` is where callboard.toml is looked for and what
    a relative `home` starts from, the working directory by default. Raises `ConfigurationError`
    with all faults at once, the caller's `other_faults` among them.
    """
    faults: list[str] = []
    here = (Path.cwd() if directory is None else directory).absolute()
    arguments = {
        "url": url,
        "home": home,
        "workspace": workspace,
        "metrics": metrics,
        "log_level": log_level,
        "dead_letters": dead_letters,
        "force": force,
    }
    given = _given(arguments, os.environ if environ is None else environ, here, faults)
    settings = Settings(
        url=_url(given["url"], faults),
        home=_home(given["home"], here, faults),
        workspace=_workspace(given["workspace"], faults),
        metrics=_metrics(given["metrics"], faults),
        log_level=_log_level(given["log_level"], faults),
        is_metrics_default=given["metrics"].where == "default",
        dead_letters=_count(given["dead_letters"], faults),
        force=_switch(given["force"], faults),
    )
    faults += other_faults
    if faults:
        raise ConfigurationError(faults)
    return settings


def _given(
    arguments: Mapping[str, object], environ: Mapping[str, str], here: Path, faults: list[str]
) -> dict[str, _Given]:
    """Every setting as it was given by what goes before all else that gives it, which is written last."""
    return {
        **{name: _Given(value, "default") for name, value in DEFAULTS.items()},
        **_from_file(here / FILE, faults),
        **_from_environment(environ, here, faults),
        **{name: _Given(value, name) for name, value in arguments.items() if value is not None},
        **_from_command(environ),
    }


def _from_environment(environ: Mapping[str, str], here: Path, faults: list[str]) -> dict[str, _Given]:
    known = {f"{PREFIX}{name.upper()}": name for name in DEFAULTS}
    ours = sorted(name for name in environ if name.startswith(PREFIX) and not _is_no_setting(name, environ))
    faults += [_unknown(variable, known, PREFIX) for variable in ours if variable not in known]
    found = {known[name]: _Given(environ[name], name) for name in ours if name in known}
    url = url_in_file(environ, here, faults)
    return found if url is None else found | {"url": _Given(url, URL_FILE)}


def _from_command(environ: Mapping[str, str]) -> dict[str, _Given]:
    asked = [environ[name] for name in environ if name == RUN_METRICS]
    return {"metrics": _Given(asked[0], "--metrics")} if asked else {}


def _is_no_setting(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a variable is no setting itself: a command's own, a file's name, or one that Kubernetes sets in
    every pod of a namespace that has a Service callboard(-...)."""
    if name in (RUN_METRICS, URL_FILE) or SERVICE_LINK.fullmatch(name):
        return True
    # Somebody may mean this one as a setting; a link's value tells it apart.
    return name.endswith("_PORT") and re.match("(tcp|udp|sctp)://", environ[name]) is not None


def _from_file(path: Path, faults: list[str]) -> dict[str, _Given]:
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        return {}
    except OSError as error:
        faults.append(f"{path} cannot be read ({error.strerror}): mend it, or move it away")
    except UnicodeDecodeError:
        faults.append(f"{path} is not UTF-8: save it as such")
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{path} is not valid TOML: {error}")
    else:
        faults += [f"{path}: {_unknown(key, DEFAULTS)}" for key in table if key not in DEFAULTS]
        return {key: _Given(value, f"{path}: {key}") for key, value in table.items() if key in DEFAULTS}
    return {}


def _unknown(name: str, known: Iterable[str], prefix: str = "") -> str:
    # What all names begin with would make them all alike.
    ends = [other.removeprefix(prefix) for other in known]
    nearest = get_close_matches(name.removeprefix(prefix), ends, n=1)
    mend = f"did you mean {prefix}{nearest[0]}?" if nearest else f"there are {', '.join(known)}"
    return f"{name} is not a setting: {mend}"


def _url(given: _Given, faults: list[str]) -> str | None:
    url = None if given.value is None else _text(given, faults)
    try:
        return None if url is None else read_url(url)
    except ValueError as fault:
        faults.append(f"{given.where}: {fault}")
        return None


def _home(given: _Given, here: Path, faults: list[str]) -> Path:
    text = str(given.value) if isinstance(given.value, Path) else _text(given, faults)
    try:
        return here / Path(text or ".").expanduser()
    except RuntimeError:
        faults.append(f"{given.where}: {text!r} names a home directory that is not known: write it out")
        return here


def _workspace(given: _Given, faults: list[str]) -> str:
    text = _text(given, faults)
    if text is not None and WORKSPACE.fullmatch(text) is None:
        faults.append(
            f"{given.where}: {text!r} is no name of a workspace: use up to 63 of a-z, 0-9, - and _, "
            f"with a letter or digit first"
        )
    return text or ""


def _metrics(given: _Given, faults: list[str]) -> str | None:
    text = _text(given, faults)
    if text is None or text == "none":
        return None
    found = ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > LARGEST_PORT:
        faults.append(f'{given.where}: {text!r} is no address: write host:port, 127.0.0.1:9191, or "none"')
    return text


def _log_level(given: _Given, faults: list[str]) -> str:
    text = _text(given, faults)
    if text is not None and text not in LEVELS:
        faults.append(f"{given.where}: {text!r} is no level of logs: choose of {', '.join(LEVELS)}")
    return text or ""


def _count(given: _Given, faults: list[str]) -> int:
    """A whole number from 1, also as the text that a variable is."""
    value = given.value
    if isinstance(value, str) and re.fullmatch(r"[0-9][0-9_]{0,18}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        faults.append(f"{given.where} must be a whole number from 1, such as 1000000")
        return 1
    return value


def _switch(given: _Given, faults: list[str]) -> bool:
    """True or false, also as the text that a variable is."""
    value = given.value
    if value not in (True, False, "true", "false") or not isinstance(value, bool | str):
        faults.append(f"{given.where} must be true or false")
    return value in (True, "true")


def _text(given: _Given, faults: list[str]) -> str | None:
    """The value if it is a text with something in it; the value of a fault is not shown."""
    if not isinstance(given.value, str):
        faults.append(f"{given.where} is of the type {type(given.value).__name__}: write a text, in quotes")
        return None
    if not given.value:
        faults.append(f"{given.where} is empty: give it a value, or remove it")
        return None
    return given.value
