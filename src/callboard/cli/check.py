"""`callboard check`: whether an app's declarations are well, without a mailbox or a worker."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from ..actors.app import Callboard
from ..messages.errors import ConfigurationError
from .exits import ExitCode
from .loading import load_app
from .tables import table
from .terminal import AsJson, console, examples, keep_logs_off_stdout, write_json

command = App(
    name="check", help_epilogue=examples("callboard check shop:app", "callboard check shop:app --json")
)


class CheckedContract(msgspec.Struct, frozen=True):
    """A contract in its current version."""

    name: str
    version: int
    kind: str
    actors: tuple[str, ...]
    """Those of this app that subscribe to it, in the order of fan-out."""


class CheckedActor(msgspec.Struct, frozen=True):
    """An actor that handles events."""

    name: str
    queue: str
    contracts: tuple[str, ...]


class Checked(msgspec.Struct, frozen=True):
    """What an app declares, and what is wrong with it."""

    target: str
    ok: bool
    faults: tuple[str, ...]
    contracts: tuple[CheckedContract, ...] = ()
    actors: tuple[CheckedActor, ...] = ()
    plain_actors: tuple[str, ...] = ()
    """dramatiq's own, declared on the app's broker."""


@command.default
def check(
    target: Annotated[str, Parameter(name="APP", help="`module:app`, importable from here.")],
    /,
    *,
    as_json: AsJson = False,
) -> ExitCode:
    """Import an app and check all that it declares: contracts, upcasters, actors, resources, commands.

    Opens no mailbox and starts nothing. Exit code 2 when something is wrong; all faults are told at once,
    but for what ends the import itself.

    `--json` is an object: `target`, `ok`, `faults` (a list of texts), `contracts` (`name`, `version`,
    `kind`, `actors`), `actors` (`name`, `queue`, `contracts`) and `plain_actors` (names).
    """
    keep_logs_off_stdout()
    checked = examine(target)
    if as_json:
        write_json(checked)
    elif checked.faults:
        raise ConfigurationError([f"{target}: {fault}" for fault in checked.faults])
    else:
        _show(checked)
    return ExitCode.OK if checked.ok else ExitCode.USAGE


def examine(target: str) -> Checked:
    """What an app declares and all its faults; never raises for them."""
    try:
        app = load_app(target)
    except ConfigurationError as error:
        return Checked(target, ok=False, faults=error.faults)
    faults = faults_of(app)
    return Checked(target, not faults, faults, _contracts(app), _actors(app), _plain_actors(app))


def faults_of(app: Callboard) -> tuple[str, ...]:
    """All that is wrong with what an app declares."""
    try:
        app.check()
    except ConfigurationError as error:
        return error.faults
    return ()


def _contracts(app: Callboard) -> tuple[CheckedContract, ...]:
    known = [app.catalog.current(name) for name in app.catalog.names()]
    return tuple(
        CheckedContract(
            each.name, each.version, each.kind.value, tuple(taker.actor for taker in app.routes.of(each.name))
        )
        for each in known
    )


def _actors(app: Callboard) -> tuple[CheckedActor, ...]:
    return tuple(
        CheckedActor(each.actor, each.queue, tuple(sorted(each.contracts))) for each in app.routes.declared
    )


def _plain_actors(app: Callboard) -> tuple[str, ...]:
    return tuple(sorted(app.broker.actors.keys() - app.actors.keys()))


def _show(checked: Checked) -> None:
    out = console()
    queues = {each.queue for each in checked.actors}
    out.print(
        f"{checked.target} is well: {len(checked.contracts)} contracts, {len(checked.actors)} actors on "
        f"{len(queues)} queues, {len(checked.plain_actors)} plain actors",
        highlight=False,
        soft_wrap=True,
    )
    if checked.actors:
        rows = [(each.name, each.queue, ", ".join(each.contracts)) for each in checked.actors]
        out.print(table(("actor", "queue", "subscribes to"), rows, texts=3))
    if unhandled := [each.name for each in checked.contracts if not each.actors]:
        out.print(f"handled elsewhere, or nowhere: {', '.join(unhandled)}", highlight=False, soft_wrap=True)
