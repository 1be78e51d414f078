"""The levels of logs by their names."""

import logging

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
"""Below the one that is set nothing is written."""


def level_of(level: str) -> int:
    """The number of a level; raises `ValueError` for one there is not."""
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no level of logs: choose of {', '.join(LEVELS)}")
    return LEVELS[level]
