"""The URL of a server in a file of its own, as containers and systemd hand secrets over."""

from collections.abc import Mapping
from pathlib import Path

URL_FILE = "CALLBOARD_URL_FILE"
"""Names the file; what it holds counts as `CALLBOARD_URL`."""


def url_in_file(environ: Mapping[str, str], directory: Path, faults: list[str]) -> str | None:
    """What the file that the environment names holds, without the blanks around it; None if none is named.

    A relative name starts from `directory`. Appends to `faults` what cannot be, without what is in the file.
    """
    # Not looked up by name: an app made where a module is imported asks for nothing that is not there.
    name = next((environ[given] for given in environ if given == URL_FILE), None)
    if name is None:
        return None
    if "CALLBOARD_URL" in environ:
        faults.append(f"CALLBOARD_URL and {URL_FILE} are both given: remove one of them")
        return None
    try:
        return (directory / name).read_text("utf-8").strip()
    except OSError as error:
        faults.append(f"{URL_FILE}: {name!r} cannot be read ({error.strerror}): mend it, or remove it")
    except UnicodeDecodeError:
        faults.append(f"{URL_FILE}: {name!r} is not UTF-8: let it hold the URL alone")
    return None
