"""Words an error of decoding or encoding so that the field is named and the content is not shown."""

import re

_PATH = re.compile(r" - at (?:`key` in )?`\$([^`]*)`$")
_WITHOUT_CONTENT = (
    "Encoding objects of type ",
    "Expected `",
    "Input data was truncated",
    "Integer value out of range",
    "Invalid RFC3339 ",
    "Invalid UUID",
    "Invalid base64 ",
    "JSON is malformed: ",
    "Number out of range",
    "Object missing required field `",
    "Only dicts with str-like ",
)
"""How those messages of msgspec begin that name types and positions alone; others may quote the content."""


def fault_of(error: Exception, root: str = "$") -> str:
    """What was wrong, and the path of the field below `root` where that is known; never the content.

    Raises a `MemoryError` again: it says nothing about the bytes.
    """
    match error:
        case MemoryError():
            raise error
        case RecursionError():
            return "it is nested too deep"
        case UnicodeError():
            return "it holds text that is not valid UTF-8"
        case _ if error.__cause__ is not None:
            return f"the contract's own check refused it ({type(error.__cause__).__name__})"
    text = str(error)
    found = _PATH.search(text)
    what = text[: found.start()] if found else text
    if not what.startswith(_WITHOUT_CONTENT):
        what = f"a value is not allowed ({type(error).__name__})"
    return f"{what} at `{root}{found[1]}`" if found else what
