"""What may be found about a server: of each kind how grave it is, what may be lost by it and the mend."""

from typing import Literal

import msgspec

Severity = Literal["stops", "warns", "note"]


class Kind(msgspec.Struct, frozen=True):
    """What all findings of a kind have in common."""

    severity: Severity
    loses: str
    mend: str


KINDS = {
    "too-old": Kind("stops", "settlements, when it is full", "use Redis 7.0 or later, or Valkey"),
    "sentinel": Kind("stops", "nothing, but no worker can work", "connect to the primary it watches"),
    "replica": Kind(
        "stops", "what it takes in, if it takes any, when it next syncs", "connect to its primary"
    ),
    "evicts": Kind("stops", "deliveries that it has accepted", "set maxmemory-policy to noeviction"),
    "nothing-kept": Kind(
        "stops", "every delivery, when it restarts", "set appendonly to yes and appendfsync to everysec"
    ),
    "not-permitted": Kind(
        "stops",
        "what a step has half done when it is refused",
        "permit it in the server's ACL file, or connect as a user with the role",
    ),
    "less-permitted": Kind(
        "warns", "nothing, but some of it cannot be looked at", "permit it in the server's ACL file"
    ),
    "default-refused": Kind(
        "warns",
        "every delivery, when it restarts, unless it has the fix of redis#14541 or valkey#3983",
        "give the default user all rights and no password, and switch it off: default off resetpass ~* +@all",
    ),
    "would-evict": Kind("warns", "deliveries, once a maxmemory is set", "set maxmemory-policy to noeviction"),
    "snapshots-only": Kind(
        "warns", "what came after the last snapshot", "set appendonly to yes and appendfsync to everysec"
    ),
    "snapshots-not-known": Kind(
        "warns", "every delivery, if there are none", "set appendonly to yes and appendfsync to everysec"
    ),
    "fsync-left": Kind(
        "warns", "some 30 s, when its machine crashes", "set appendfsync to everysec, or to always"
    ),
    "nearly-full": Kind(
        "warns", "what is refused at publish", "raise its maxmemory, or let workers drain the queues"
    ),
    "clocks-differ": Kind("warns", "nothing, but ages err by as much", "let both be set by NTP"),
    "versions-mixed": Kind(
        "warns",
        "what only the newer knows of, if it lasts for days",
        "end the deploy: restart the workers of the older version",
    ),
    "version-not-read": Kind("warns", "not known", "see that it is Redis 7.0 or Valkey"),
    "cluster": Kind(
        "note",
        "nothing, but a workspace cannot work from another node",
        "name the node that has the workspace's slot: redirects are not followed",
    ),
    "not-known": Kind("note", "not known", "look as a user who may"),
}
"""Every kind: what `stops` ends the start of a worker unless it is forced; a `note` is nothing to mend."""


class Finding(msgspec.Struct, frozen=True):
    """Something about a server that may cost deliveries, or that could not be looked at."""

    kind: str
    severity: Severity
    what: str
    """What was found."""
    loses: str
    """What may be lost by it."""
    mend: str

    def __str__(self) -> str:
        return f"{self.what} (may be lost: {self.loses}): {self.mend}"


def finding(kind: str, what: str, *, mend: str | None = None) -> Finding:
    """A finding of a kind, with a mend of its own where it knows better."""
    of = KINDS[kind]
    return Finding(kind, of.severity, what, of.loses, of.mend if mend is None else mend)
