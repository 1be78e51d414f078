"""Bounds how deep JSON is nested, before a recursive decoder sees it."""

from array import array
from itertools import accumulate

MAX_DEPTH = 128
"""Levels of arrays and objects in a body, its envelope included."""

_FLATTEN = bytes.maketrans(b"{}", b"[]")
_NEITHER_BRACKET_NOR_QUOTE = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_STEPS = bytes.maketrans(b"[]", bytes([1, 255]))
"""One level down or up, as signed bytes."""


def is_too_deep(body: bytes, limit: int = MAX_DEPTH) -> bool:
    """Whether JSON is nested deeper than `limit`, which is at least 2.

    Never says no when a decoder that stops at the first fault would go deeper, whatever the bytes are.
    """
    if len(body) <= limit:
        return False
    # Removing brackets and measuring the rest is twice as fast as counting them.
    openings = 2 * len(body) - len(body.replace(b"[", b"")) - len(body.replace(b"{", b""))
    return openings > limit and _depth(_brackets(body)) > limit


def _brackets(body: bytes) -> bytes:
    """The brackets outside of strings, all as `[` and `]`."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    # Taking away two neighbouring quotes leaves every other byte inside or outside of strings as it was.
    quoted = unescaped.translate(_FLATTEN, _NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"")
    return b"".join(quoted.split(b'"')[::2])


def _depth(brackets: bytes) -> int:
    """The deepest level, or 2 if it is less: the innermost two hold most brackets, and go at once."""
    outer = brackets.replace(b"[]", b"").replace(b"[]", b"")
    return 2 + max(accumulate(array("b", outer.translate(_STEPS))), default=0)
