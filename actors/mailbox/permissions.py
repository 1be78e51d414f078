"""Tells what a role takes that a server does not permit to its user; changes nothing there."""

import redis
from redis.exceptions import NoPermissionError, ResponseError

from .connections import place_of
from .findings import Finding, finding
from .keys import queue_key, root_of
from .roles import COMMANDS, READS, Role, is_idle_without, steps_with
from .scripts import Script, named_errors

RUNS_SCRIPTS = frozenset({"EVAL", "EVALSHA"})

ON_NO_KEY = frozenset({"INFO", "TIME"})


def examine_permissions(client: "redis.Redis", workspace: str, role: Role) -> list[Finding]:
    """What a user lacks for a role in a workspace, in one round trip; empty when he lacks nothing.

    The server answers by its own rules, and no command of the role is run. The finding is `not-permitted`
    when the role cannot do its part, else `less-permitted`.

    Raises `MailboxUnavailable` when it cannot be reached, `MailboxRefused` for a wrong password.
    """
    asked = sorted(command for command in COMMANDS[role] if steps_with(role, frozenset({command})))
    root = root_of(workspace)
    try:
        with named_errors(place_of(client.connection_pool)):
            refused = _refused(client, [root, queue_key(root, "READY", "")], asked)
    except _NotTold as error:
        what = f"what the user may do: the server cannot be asked in a script ({error})"
        return [finding("not-known", what, mend=f"see that the user may do what the role {role} does")]
    return [_lacking(client, root, role, refused)] if refused else []


class _NotTold(Exception):
    """Raised when a server cannot be asked what its user may do."""


def _refused(client: "redis.Redis", keys: list[str], commands: list[str]) -> frozenset[str]:
    """Those commands that the user may not run; scripts alone when he cannot ask for the others by one."""
    try:
        answer = client.eval(Script("permitted").text, 0, *keys, *commands)
    except NoPermissionError:
        return RUNS_SCRIPTS
    except ResponseError as error:
        # Servers that only resemble Redis have no such question.
        if not any(words in str(error) for words in ("acl_check_cmd", "unknown command")):
            raise
        raise _NotTold(str(error)) from error
    return frozenset(name.decode() if isinstance(name, bytes) else name for name in answer)


def _lacking(client: "redis.Redis", root: str, role: Role, refused: frozenset[str]) -> Finding:
    user = client.connection_pool.connection_kwargs.get("username") or "default"
    steps = steps_with(role, refused)
    return finding(
        "not-permitted" if is_idle_without(role, steps) else "less-permitted",
        f"the user {user!r} may not do what the role {role} does on {root}*: {_told(role, refused)}; "
        f"what it cannot do is {', '.join(steps)}",
        mend=f"add to the line of this user in the server's ACL file: {_pieces(role, root, refused)}; "
        f"or connect as a user with the role {role} for this workspace",
    )


def _told(role: Role, refused: frozenset[str]) -> str:
    if refused == RUNS_SCRIPTS:
        return "it may not run EVAL, by which it would be asked what else"
    if _on_keys(role) <= refused:
        return "it may run none of its commands on these keys"
    return f"it may not run {', '.join(sorted(refused))}"


def _pieces(role: Role, root: str, refused: frozenset[str]) -> str:
    """What an ACL rule needs besides; all of a role's where it is not known what is there."""
    wanted = COMMANDS[role] if refused == RUNS_SCRIPTS else refused
    on_keys, reading = _on_keys(role) & wanted, _on_keys(role) & READS
    # Where no command that reads is permitted, or none that writes, the keys may be what is closed.
    are_keys_closed = any(some and some <= wanted for some in (reading, _on_keys(role) - READS))
    keys = [f"~{root}*"] if on_keys and are_keys_closed else []
    return " ".join([*keys, *(f"+{command.lower()}" for command in sorted(wanted))])


def _on_keys(role: Role) -> frozenset[str]:
    return COMMANDS[role] - ON_NO_KEY - RUNS_SCRIPTS
