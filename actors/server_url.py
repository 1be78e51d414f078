"""The URL of a server: what of it is understood, and what of it may be shown."""

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}
"""The schemes of a URL that are understood, and what the client calls them."""

TELLABLE = {"db", "protocol"}
"""The options of a URL whose values may be shown."""


def read_url(url: str) -> str:
    """The URL as the client reads it; raises `ValueError`, which shows no secret."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        mend = (
            "percent-encode what is special in its password"
            if "@" in url
            else "write redis://host:6379, with a port of 65535 at most"
        )
        raise ValueError(f"{redact_url(url)} cannot be read: {mend}") from None
    fault = _url_fault(url, parts)
    if fault is not None:
        raise ValueError(fault)
    return SCHEMES[parts.scheme] + url[len(parts.scheme) :]


def redact_url(url: str) -> str:
    """The URL of a server, with nothing in it that could be a secret."""
    scheme = url.partition(":")[0]
    concealed = f"{scheme}://***" if scheme in SCHEMES else "***"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return concealed
    # A password with a /, ? or # that was not percent-encoded reaches into the parts that follow.
    if scheme not in SCHEMES or "@" in parts.path + parts.query or "#" in url:
        return concealed
    account, _, place = parts.netloc.rpartition("@")
    if place and parts.hostname is None:
        return concealed
    user, has_password, _ = account.partition(":")
    shown = (f"{user}:***@" if has_password else "***@") if account else ""
    options = [f"{name}={value if name in TELLABLE else '***'}" for name, value in parse_qsl(parts.query)]
    query = "?" + "&".join(options) if options else ""
    return f"{scheme}://{shown}{place}{parts.path}{query}"


def _url_fault(url: str, parts: SplitResult) -> str | None:
    if parts.scheme not in SCHEMES:
        return f"the URL of a server begins with {', '.join(f'{scheme}://' for scheme in SCHEMES)}"
    if re.search(r"\s", url):
        return f"{redact_url(url)} has blanks in it: remove them"
    if "#" in url:
        return f"{redact_url(url)} has a # in it: write %23 in a password"
    if parts.scheme == "unix":
        is_whole = parts.path not in {"", "/"} and not parts.hostname
        return None if is_whole else "a unix:// URL has three slashes and a path: unix:///run/valkey.sock"
    if parts.netloc and parts.hostname is None:
        return f"{redact_url(url)} names no host: write redis://host:6379"
    if re.fullmatch(r"/?|/[0-9]+/?", parts.path) is None:
        return f"{redact_url(url)} ends with something that is no database's number"
    return None
