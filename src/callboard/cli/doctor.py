"""`callboard doctor`: whether a server will keep what a mailbox entrusts to it."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from ..actors.mailbox.default_user import examine_default_user
from ..actors.mailbox.findings import Finding, finding
from ..actors.mailbox.permissions import examine_permissions
from ..actors.mailbox.redis import RedisMailbox
from ..actors.mailbox.roles import Role
from ..actors.mailbox.suitability import examine, mixed_versions
from ..messages.errors import MailboxRefused
from .exits import ExitCode
from .place import Place, address_of, mailbox_at
from .terminal import AsJson, console, examples, keep_logs_off_stdout, write_json

command = App(
    name="doctor",
    help_epilogue=examples(
        "callboard doctor",
        "CALLBOARD_URL_FILE=publisher.url callboard doctor --role publisher",
        "callboard doctor --json | jq '.findings[].mend'",
    ),
)


class Examined(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    place: str
    """Where the mailbox is: a directory, or a URL without a secret."""
    ok: bool
    """A worker would start on it; one of another role, if that was asked for, can do its part."""
    findings: tuple[Finding, ...]


@command.default
def doctor(
    *,
    place: Place | None = None,
    role: Annotated[
        Role, Parameter(help="As whom it is to be used: what the role needs must be permitted.")
    ] = "worker",
    as_json: AsJson = False,
) -> ExitCode:
    """Look at the server as a worker does at its start, and tell what may lose events there.

    Whether its user may do what a worker does is asked of the server, and nothing is changed by it. `--role`
    asks for another role: look with each program's own URL. The roles are told in docs/server.md.

    `--json` is an object with `place`, `ok` and `findings`, a list of objects: `kind`, `severity` (`stops` of
    what a worker does not start on, `warns`, or `note` for what is not known), `what` was found, what may be
    lost by it (`loses`) and the `mend`. Exit code 1 when something stops a worker, or what the role does.
    """
    keep_logs_off_stdout()
    settings = (place or Place()).settings()
    with mailbox_at(settings) as mailbox:
        findings = examine(mailbox.client, is_kept=settings.url is None)
        findings += examine_permissions(mailbox.client, mailbox.workspace, role)
        refused = examine_default_user(mailbox.client, mailbox.workspace)
        findings += [] if refused is None else [refused]
        stops = any(finding.severity == "stops" for finding in findings)
        findings += [] if stops else _versions(mailbox)
    is_ok = not stops
    if as_json:
        write_json(Examined(address_of(settings), is_ok, tuple(findings)))
    else:
        for finding in findings:
            console().print(f"{finding.severity}: {finding}", highlight=False, soft_wrap=True, markup=False)
        if all(finding.severity == "note" for finding in findings):
            console().print(f"{address_of(settings)}: nothing to mend", highlight=False, soft_wrap=True)
    return ExitCode.OK if is_ok else ExitCode.FAILED


def _versions(mailbox: RedisMailbox) -> list[Finding]:
    try:
        mixed = mixed_versions(mailbox.info().workers)
    except MailboxRefused:
        what = "which versions of Callboard the workers run: this user may not read the workspace"
        return [finding("not-known", what, mend="look as a user with the role reader")]
    return [] if mixed is None else [mixed]
