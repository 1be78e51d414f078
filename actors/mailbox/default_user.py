"""Tells whether a server may refuse what it reads back: it does so with the rights of its default user."""

import redis
from redis.exceptions import ResponseError

from .connections import place_of
from .findings import Finding, finding
from .keys import queue_key, root_of
from .scripts import named_errors


def examine_default_user(client: "redis.Redis", workspace: str) -> Finding | None:
    """What is to be said of the default user's rights on a workspace; None also where it is not told.

    Only an administrator is told, and none of the roles is one. Nothing is run or changed.

    Raises `MailboxUnavailable` when the server cannot be reached, `MailboxRefused` for a wrong password.
    """
    key = queue_key(root_of(workspace), "READY", "default")
    with named_errors(place_of(client.connection_pool)):
        try:
            answer = client.acl_dryrun("default", "RPUSH", key, "")
        except ResponseError:
            return None  # it is not for this user to ask, or such a server has no such question
    if answer in (b"OK", "OK"):
        return None
    told = answer.decode() if isinstance(answer, bytes) else str(answer)
    return finding("default-refused", f"the default user may not write the keys of a workspace ({told})")
