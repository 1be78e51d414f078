"""`callboard schema`: the JSON Schemas of an app's contracts, and of what commands print."""

from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from ..messages.contract import Contract
from ..messages.errors import ConfigurationError
from .loading import load_app
from .outputs import DIALECT, schema_of
from .terminal import examples, keep_logs_off_stdout, write_json

command = App(
    name="schema",
    help_epilogue=examples(
        "callboard schema shop:app",
        "callboard schema shop:app order.placed > order.placed.json",
        "callboard schema --output info",
        "callboard schema --output 'queue drain'",
    ),
)


@command.default
def schema(
    target: Annotated[str | None, Parameter(name="APP", help="`module:app`, importable from here.")] = None,
    contract: Annotated[str | None, Parameter(name="CONTRACT", help="One contract's name.")] = None,
    /,
    *,
    output: Annotated[str | None, Parameter(help="The command whose `--json` it is about.")] = None,
) -> None:
    """Print JSON Schemas (draft 2020-12).

    Of an app: an object with the schema of each contract's fields, by its name; or with CONTRACT that one's
    alone. A schema's `$id` names the contract and its version. Fields that it does not know are passed
    over when an event is read. With `--output`, of what a command prints with `--json`, or of each line
    where it prints many.
    """
    keep_logs_off_stdout()
    if (target is None) == (output is None):
        raise ConfigurationError("name an app, as in shop:app, or a command, as in --output info")
    if output is not None:
        write_json(schema_of(output))
    elif target is not None:
        catalog = load_app(target).catalog
        names = catalog.names() if contract is None else (contract,)
        schemas = {name: of_contract(catalog.current(name)) for name in names}
        write_json(schemas if contract is None else schemas[contract])


def of_contract(contract: Contract) -> dict[str, Any]:
    """The JSON Schema of a contract's fields, which an envelope carries as `data`."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:callboard:{contract.name}:{contract.version}",
        **msgspec.json.schema(contract.cls),
        "title": contract.name,
    }
