"""The console script: starts the command line, or says how to install it."""

import sys
from importlib.util import find_spec

NEEDED = ("cyclopts", "rich")
"""What the extra `cli` brings."""


def main() -> int:
    """Run the command line of this process; its exit code, 2 when the extra `cli` is not installed."""
    if any(find_spec(name) is None for name in NEEDED):
        sys.stderr.write('callboard: the command line is an extra: pip install "callboard[cli]"\n')
        return 2
    from .cli.program import run  # noqa: PLC0415 - it may not be there, as was just checked

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
