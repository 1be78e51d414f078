"""`callboard queue`: pauses, resumes, drains and purges queues."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..actors.mailbox.mailbox import Mailbox
from ..messages.errors import ConfigurationError
from ..messages.timing import duration_ms
from .asking import By, DryRun, Yes, consent, known_queues, who
from .draining import drained, look, states
from .exits import ExitCode
from .place import Place, mailbox_at
from .queue_shown import Drained, Paused, Purged, Resumed
from .terminal import AsJson, console, examples, keep_logs_off_stdout, shown_age, write_json

Queue = Annotated[str, Parameter(name="QUEUE", help="The name of a queue.")]
Reason = Annotated[
    str, Parameter(show_default=False, help="Why, for whoever wonders; shown by `callboard info`.")
]
Timeout = Annotated[str, Parameter(help="How long to wait at most: `90s`, `5m`.")]
All = Annotated[bool, Parameter(name="--all", negative="", show_default=False, help="All that are paused.")]
Empty = Annotated[
    bool, Parameter(negative="", show_default=False, help="Pause nothing, and wait until nothing is left.")
]
OrResume = Annotated[
    bool, Parameter(negative="", show_default=False, help="If time is up, resume what this has paused.")
]

command = App(
    name="queue",
    help="Pause, resume, drain or purge queues.",
    help_epilogue=examples(
        "callboard queue pause payments --reason 'the bank is down'",
        "callboard queue resume payments",
        "callboard queue drain --timeout 2m && ./deploy && callboard queue resume --all",
        "callboard queue drain imports --empty",
        "callboard queue purge imports --dry-run",
    ),
)


@command.command
def pause(
    *queues: Queue, reason: Reason = "", by: By = None, place: Place | None = None, as_json: AsJson = False
) -> None:
    """Let queues hand out nothing until they are resumed.

    The pause is kept in the mailbox, whatever becomes of workers and of the server. Publishing and schedules
    go on; handlers that run end as ever, and so does the little that workers have taken in already. A queue
    that is paused already stays so as it was.

    `--json` is a list of objects: `queue` and `pause` (`at`, `by`, `reason`).
    """
    keep_logs_off_stdout()
    _need(queues, "callboard queue pause QUEUE")
    with mailbox_at((place or Place()).settings()) as mailbox:
        names = known_queues(mailbox, queues)
        paused = [Paused(name, mailbox.controls.pause(name, by=who(by), reason=reason)) for name in names]
        now = mailbox.info().at
    if as_json:
        write_json(paused)
        return
    for each in paused:
        because = f": {each.pause.reason}" if each.pause.reason else ""
        _say(f"{each.queue} is paused, by {each.pause.by} {shown_age(now - each.pause.at)}{because}")


@command.command
def resume(*queues: Queue, every: All = False, place: Place | None = None, as_json: AsJson = False) -> None:
    """Let paused queues hand out again; workers that wait are woken at once.

    `--json` is a list of objects: `queue`, and `pause` (`at`, `by`, `reason`), the one that held or null.
    """
    keep_logs_off_stdout()
    if every and queues:
        raise ConfigurationError("name the queues, or say --all, not both")
    if not every:
        _need(queues, "callboard queue resume QUEUE, or --all")
    with mailbox_at((place or Place()).settings()) as mailbox:
        names = known_queues(mailbox, queues)
        if every:
            names = tuple(each.queue for each in mailbox.info().queues if each.paused)
        resumed = [Resumed(name, mailbox.controls.resume(name)) for name in names]
    if as_json:
        write_json(resumed)
        return
    for each in resumed:
        _say(f"{each.queue} is resumed" if each.pause else f"{each.queue} was not paused")
    if not resumed:
        _say("no queue is paused")


@command.command
def drain(
    *queues: Queue,
    timeout: Timeout = "5m",
    empty: Empty = False,
    or_resume: OrResume = False,
    reason: Reason = "drained",
    by: By = None,
    place: Place | None = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Pause queues, all if none is named, and wait until nothing of them runs any more: before a deploy.

    It is drained when no delivery is leased; what waits stays for later. With `--empty` nothing is paused,
    and it is waited until all is done but what is scheduled: nothing ready, leased, in a lane or taken over.
    If that takes longer than `--timeout` the exit code is 1, and what was paused stays so unless
    `--or-resume` is said.

    `--json` is an object: `drained`, `empty`, `left` (deliveries that were waited for and are still
    there), `seconds`, `resumed` and `queues` (as in `callboard info --json`).
    """
    keep_logs_off_stdout()
    seconds = duration_ms(timeout, name="--timeout") / 1000
    begun = time.monotonic()
    with mailbox_at((place or Place()).settings()) as mailbox:
        names = known_queues(mailbox, queues)
        ours: list[str] = []
        try:
            if not empty:
                ours += _pause_others(mailbox, names, who(by), reason)
            with _progress(look(mailbox, names, empty=empty)) as show:
                is_drained = drained(mailbox, names, empty=empty, seconds=seconds, show=show)
        except KeyboardInterrupt:
            _resume_if(mailbox, ours, wanted=or_resume)
            raise
        is_resumed = not is_drained and _resume_if(mailbox, ours, wanted=or_resume)
        left = 0 if is_drained else look(mailbox, names, empty=empty)
        told = tuple(states(mailbox, names))
    shown = Drained(is_drained, empty, left, round(time.monotonic() - begun, 3), is_resumed, told)
    if as_json:
        write_json(shown)
    else:
        _say(_in_words(shown, timeout))
    return ExitCode.OK if is_drained else ExitCode.FAILED


@command.command
def purge(
    queue: Queue,
    /,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    place: Place | None = None,
    as_json: AsJson = False,
) -> None:
    """Discard all that waits in a queue: ready, scheduled, in lanes and taken over, but not what is leased.

    Discarded deliveries are counted, and no record of each is kept: they cannot be brought back.

    `--json` is an object: `queue`, `deliveries` and `dry_run`.
    """
    keep_logs_off_stdout()
    with mailbox_at((place or Place()).settings()) as mailbox:
        (name,) = known_queues(mailbox, (queue,))
        (state,) = states(mailbox, [name])
        waiting = state.live - state.leased
        if not dry_run:
            consent(f"Discard {waiting:,} deliveries of {name} for good?", yes=yes or not waiting)
            with _progress(waiting) as show:
                waiting = mailbox.purge(name, lambda purged: show(max(0, waiting - purged)))
    if as_json:
        write_json(Purged(name, waiting, dry_run))
    else:
        _say(f"{waiting:,} deliveries of {name} {'would be' if dry_run else 'are'} discarded")


def _need(queues: tuple[str, ...], usage: str) -> None:
    if not queues:
        raise ConfigurationError(f"name a queue: {usage}")


def _say(line: str) -> None:
    console().print(line, highlight=False, soft_wrap=True, markup=False)


def _pause_others(mailbox: Mailbox, names: tuple[str, ...], by: str, reason: str) -> list[str]:
    """Pause those that are not paused yet; their names."""
    ours = [each.queue for each in states(mailbox, names) if each.paused is None]
    for name in ours:
        mailbox.controls.pause(name, by=by, reason=reason)
    return ours


def _resume_if(mailbox: Mailbox, names: list[str], *, wanted: bool) -> bool:
    for name in names if wanted else ():
        mailbox.controls.resume(name)
    return wanted and bool(names)


def _in_words(shown: Drained, timeout: str) -> str:
    what = "left" if shown.empty else "leased"
    if shown.drained:
        ready = "" if shown.empty else "; callboard queue resume --all lets them go on"
        return f"drained after {shown.seconds:.1f} s: nothing is {what}{ready}"
    then = "" if shown.empty else "; what was paused is resumed" if shown.resumed else "; it stays paused"
    return f"not drained within {timeout}: {shown.left:,} deliveries are {what}{then}"


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Shows on a terminal's stderr how much is left of so many."""
    out = console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.fields[left]:,} left"), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=max(1, total), left=total)

        def show(left: int) -> None:
            bar.update(task, completed=max(0, total - left), left=left)

        yield show
