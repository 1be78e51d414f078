"""What the command line's exit codes say, and which error comes to which; scripts may rely on them."""

import contextlib
import os
import sys
from collections.abc import Callable
from enum import IntEnum

from ..messages.errors import (
    CallboardError,
    ConfigurationError,
    InvalidDuration,
    MailboxRefused,
    MailboxUnavailable,
    PublishError,
    UnknownContract,
    UnreadableBody,
    UnsuitableServer,
)


class ExitCode(IntEnum):
    """What a command came to."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "something is missing or has failed",
    ExitCode.USAGE: "wrong usage, settings, app or input",
    ExitCode.UNREACHABLE: "the mailbox cannot be reached, or refuses",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}


class NotThere(CallboardError):
    """Raised when a command looks at something that does not exist."""


_USAGE_ERRORS = (
    ConfigurationError,
    InvalidDuration,
    PublishError,
    UnknownContract,
    UnreadableBody,
    UnsuitableServer,
)


def code_of(error: CallboardError) -> ExitCode:
    """The exit code of a command that ends with an error."""
    if isinstance(error, _USAGE_ERRORS):
        return ExitCode.USAGE
    if isinstance(error, MailboxUnavailable | MailboxRefused):
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED


def guard(command: Callable[[], int | None]) -> int:
    """Run a command; tell its errors on stderr and turn them into exit codes."""
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        leave_stdout()
        return ExitCode.FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except CallboardError as error:
        complain(str(error))
        return code_of(error)
    return ExitCode.OK if code is None else code


def complain(text: str) -> None:
    """Tell a fault on stderr, a line for each line of it; a reader that has left is no fault."""
    with contextlib.suppress(BrokenPipeError):
        for line in text.splitlines():
            sys.stderr.write(f"callboard: {line}\n")
        sys.stderr.flush()


def leave_stdout() -> None:
    """Nobody reads stdout any more: let what is still written to it, at the end too, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
