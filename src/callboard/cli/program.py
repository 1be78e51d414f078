"""The root of the command line: its commands, loaded when they are called, and its help."""

from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError

from .exits import MEANINGS, ExitCode, complain, guard
from .misplaced import where_it_belongs

COMMANDS = {
    "run": "Start a worker pool for an app.",
    "send": "Publish events, from the command line, a file or stdin.",
    "info": "Show what a mailbox holds and what it has done.",
    "inspect": "Show what runs now: where, since when, and how long it still may.",
    "trace": "Show what came of an event: every event, every delivery, outcomes and errors.",
    "event": "Show where the deliveries of an event stand, and what has ended.",
    "dlq": "List, show, replay or discard dead letters.",
    "queue": "Pause, resume, drain or purge queues.",
    "schedule": "List what is due later; cancel or move what has not begun.",
    "routes": "Show which actor subscribes to what.",
    "check": "Check what an app declares, and tell all its faults.",
    "doctor": "Look at the server, and tell what may lose events there.",
    "schema": "Print the JSON Schemas of contracts, or of what commands print.",
    "server": "Show or hold up the embedded server.",
    "demo": "See it work: a small shop, two workers, and what became of every event.",
}
"""Every command with its line of help; `callboard.cli.NAME` has it as `command`."""

INTRODUCTION = """Callboard delivers typed events to actors.

New here? `callboard demo` shows what it does in a quarter of a minute."""


def program(called: str | None = None) -> App:
    """The root command; `called` is the command of it that will run, and whose own help says more."""
    exits = "\n".join(f"- `{code.value}`: {meaning}" for code, meaning in MEANINGS.items())
    root = App(
        name="callboard",
        help=INTRODUCTION,
        help_epilogue=f"Exit codes:\n\n{exits}",
        help_format="markdown",
        version=lambda: version("callboard"),
        exit_on_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for position, (name, line) in enumerate(COMMANDS.items()):
        told = None if name == called else line
        root.command(f"{__package__}.{name}:command", name=name, help=told, sort_key=position)
    return root


def run(argv: Sequence[str]) -> int:
    """Run a command line without its program's name; its exit code."""
    return guard(lambda: _parse_and_run(argv))


def _parse_and_run(argv: Sequence[str]) -> int:
    try:
        code: int | None = program(argv[0] if argv else None)(argv)
    except CycloptsError as error:
        # It has told what was wrong, but not how the command is meant.
        if mend := where_it_belongs(error):
            complain(mend)
        complain(f"{' '.join(('callboard', *(error.command_chain or ())))} --help shows how it is meant")
        return ExitCode.USAGE
    except SystemExit as end:
        # rich ends the program by itself when nobody reads its output any more.
        return end.code if isinstance(end.code, int) else ExitCode.FAILED
    return ExitCode.OK if code is None else code
