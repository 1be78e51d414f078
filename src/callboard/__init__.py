"""Callboard delivers typed events to actors: nothing accepted is lost, nothing fails unseen."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .public import *  # noqa: F403 - its __all__ says what, which is checked there
    from .public import __all__ as __all__
else:

    def __getattr__(name: str) -> object:
        """Load the public names when one is asked for: to show the command line's help needs none of them."""
        return getattr(import_module(".public", __name__), name)

    def __dir__() -> list[str]:
        """What there is, for who explores it."""
        return [*globals(), *__getattr__("__all__")]
