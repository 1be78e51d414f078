"""Checks the keys that tell the items of a loop apart, and the names that tell loops apart."""

import re
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from ..messages.errors import InvalidItems

T = TypeVar("T")

LONGEST_KEY = 255
"""Bytes."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


def check_loop(name: str) -> str:
    """The name itself; raises `InvalidItems`."""
    if name and not _NAME.fullmatch(name):
        raise InvalidItems(
            f"the name {name!r} of a loop: a name begins with a letter or underscore and has up to 100 "
            "letters, digits, dots, dashes and underscores"
        )
    return name


def key_of(value: T, key: Callable[[T], Any] | None, position: int) -> str:
    """The key of an item as text; `position` counts from 0. Raises `InvalidItems`."""
    made: object = value if key is None else key(value)
    if type(made) is str:
        text = made
    elif isinstance(made, str):
        text = str.__str__(made)
    elif isinstance(made, int | UUID) and not isinstance(made, bool):
        text = str(int(made)) if isinstance(made, int) else str(made)
    else:
        raise InvalidItems(_no_key(made, position, given=key is not None))
    if not text.isascii() or len(text) > LONGEST_KEY or not text:
        _check_text(text, position)
    return text


def _no_key(made: object, position: int, *, given: bool) -> str:
    kind = type(made).__name__
    if given:
        return f"the key of item {position} is a {kind}: let key= answer text, a whole number or a UUID"
    return (
        f"item {position} is a {kind}, which is no key: say what tells items apart, as "
        "ctx.items(skus, key=lambda sku: sku.id)"
    )


def _check_text(text: str, position: int) -> None:
    if not text:
        raise InvalidItems(f"the key of item {position} is empty: let key= answer what tells items apart")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidItems(
            f"the key of item {position} has half of a surrogate pair and cannot be stored: let key= answer "
            "another"
        ) from None
    if size > LONGEST_KEY:
        raise InvalidItems(
            f"the key of item {position} has {size} bytes, {size - LONGEST_KEY} too many: let key= answer a "
            "shorter one, such as an id or a digest"
        )


def repeated(key: str, position: int, loop: str) -> InvalidItems:
    """The error for a key that came before in the same loop."""
    where = f" of the loop {loop!r}" if loop else ""
    return InvalidItems(
        f"item {position}{where} has the key of an earlier one ({key[:40]!r}): let key= answer what tells "
        "them apart, or leave repeated ones out"
    )
