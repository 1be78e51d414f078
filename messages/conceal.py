"""Takes out of texts what they must not tell: sensitive values of an event, passwords and tokens."""

import json
import re
from collections.abc import Iterable, Sequence

import msgspec

from .depth import is_too_deep
from .event import Event, shape_of
from .sensitive import MASK, masked, values_at

SHORTEST = 4
"""Characters of a sensitive value that is looked for in texts: a shorter one would be everywhere."""

LONGEST = 16_384
"""Characters of a text that are looked through for credentials."""

_CREDENTIALS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):\S*@", re.IGNORECASE), rf"\1:{MASK}@"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/:@]+@", re.IGNORECASE), rf"\1{MASK}@"),
    (re.compile(r"\b(bearer)\s+[^\s\"',;]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\b(basic)\s+[a-z0-9+/]{8,}={0,2}", re.IGNORECASE), rf"\1 {MASK}"),
    (
        re.compile(
            r"((?:password|passwd|pwd|secret|token|api[_-]?key|credential)s?[\"']?\s*[=:]\s*)"
            r"(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&)]+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)
"""What gives a credential away by the words around it."""

_TELLING = re.compile(
    r"password|passwd|pwd|secret|token|api[_-]?key|credential|authorization|cookie", re.IGNORECASE
)
"""Names of attributes whose values are not shown."""


def without_credentials(text: str) -> str:
    """A text in which passwords of URLs and what is named a token, password or the like is masked."""
    head, tail = text[:LONGEST], text[LONGEST:]
    for pattern, mask in _CREDENTIALS:
        head = pattern.sub(mask, head)
    return head + tail


def secrets_of(event: Event) -> tuple[str, ...]:
    """The sensitive values of an event in all the forms in which a text may show them, the longest first."""
    paths = shape_of(type(event)).sensitive
    if not paths:
        return ()
    plain = msgspec.to_builtins(event, str_keys=True)
    forms = {form for value in values_at(plain, paths) for form in _forms(value)}
    return tuple(sorted(forms, key=len, reverse=True))


def concealed(text: str, secrets: Sequence[str]) -> str:
    """A text with `***` in the place of each secret."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def shown_body(body: bytes) -> bytes | None:
    """A body as it may be shown: without what its envelope calls sensitive and credentials in attributes.

    None for what is not JSON, such as a damaged envelope: it cannot be told what of it may be shown. What is
    no envelope, as a plain message of dramatiq, is shown as it is.
    """
    if is_too_deep(body):
        return None
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return None
    if not isinstance(value, dict) or not {"sensitive", "attributes"} & value.keys():
        return body
    attributes, paths = value.get("attributes"), value.get("sensitive")
    if isinstance(attributes, dict):
        value["attributes"] = {
            name: MASK if _TELLING.search(name) else told for name, told in attributes.items()
        }
    if isinstance(paths, list) and "data" in value:
        value["data"] = masked(value["data"], tuple(path for path in paths if isinstance(path, str)))
    return msgspec.json.encode(value)


def _forms(value: object) -> Iterable[str]:
    text = str(value)
    if len(text) < SHORTEST:
        return ()
    # As it is, as `repr` writes it, and as JSON does.
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
