"""Where an error came from, as a short digest: the same for the same fault, in whatever line it is."""

import sysconfig
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from types import FrameType, TracebackType

MOST_FRAMES = 500
"""A traceback is followed no further; a recursion's has a thousand frames of a few functions."""

_OURS = tuple(f"{__name__.split('.')[0]}.{floor}." for floor in ("messages", "middleware", "actors"))
_STANDARD = sysconfig.get_path("stdlib")
_FOREIGN = ("/site-packages/", "/dist-packages/", "<frozen ")


def origin_of(error: BaseException, *, deep: bool = True) -> str:
    """12 hexadecimal digits over an exception's type and the user's own functions that it came through.

    No line number is in it. Frames of Callboard, of the standard library and of installed packages are left
    out, unless there are no others; an error that came through no others at all, as one that sums up the
    errors of items, goes by its cause as well. What is not `deep` goes by the outermost function alone: an
    interruption may land anywhere.
    """
    functions = _functions(error.__traceback__)
    kinds = [_name_of(error)]
    if not functions and error.__cause__ is not None:
        kinds.append(_name_of(error.__cause__))
        functions = _functions(error.__cause__.__traceback__)
    own = [name for name, is_own in functions if is_own] or [name for name, _ in functions]
    text = "\n".join([*kinds, *(own if deep else own[:1])])
    return blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _name_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _functions(traceback: TracebackType | None) -> list[tuple[str, bool]]:
    """The functions of a traceback outside of Callboard, each once, and whether it is the user's."""
    return list(
        dict.fromkeys(
            (f"{_module_of(frame)}.{frame.f_code.co_qualname}", _is_own(frame))
            for frame in islice(_frames(traceback), MOST_FRAMES)
            if not _module_of(frame).startswith(_OURS)
        )
    )


def _frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_own(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return not file.startswith(_STANDARD) and not any(mark in file for mark in _FOREIGN)
