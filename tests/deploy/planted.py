"""A mistake in a document of YAML, for a validator to find."""

import copy
from typing import Any


def changed_at(document: dict[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    """A copy with one place changed, named as a JSON pointer; a value of None takes it away."""
    made = copy.deepcopy(document)
    at: Any = made
    *above, last = [int(part) if part.isdigit() else part.replace("~1", "/") for part in pointer.split("/")]
    for part in above:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return made
