"""The names of a workspace's keys; nothing else knows them, neither in Python nor in Lua."""

import re

ROOT = "callboard:{{{workspace}}}:"
"""All keys of a workspace share the hash tag in braces, so that a cluster keeps every script atomic."""

OF_WORKSPACE = {
    "BODIES": "bodies",  # hash: delivery id -> header and body, while the delivery lives
    "FENCES": "fences",  # hash: delivery id -> the token of its lease, or `r` and the token it came back with
    "HISTORY": "history",  # hash: delivery id -> JSON of its earlier attempts, if there were any
    "FENCE": "fence",  # counter: the last fence handed out
    "QUEUES": "queues",  # set: names of all queues ever published to, or limited
    "ROUTES": "routes",  # hash: actor -> JSON of its subscription
    "CONFIRMED": "routes:confirmed",  # sorted set: actor -> when a worker last confirmed its subscription
    "SAID": "routes:said",  # hash: actor -> JSON: digests of its latest subscriptions, the first said first
    "VERSION": "routes:version",  # counter: grows when routes change
    "FORMER": "former-windows",  # hash: actor -> JSON: dedup window it had before -> until when it matters
    "WORKERS": "workers",  # sorted set: owner -> when it was last heard of
    "RELEASES": "workers:releases",  # hash: owner in `workers` -> the version of Callboard it runs
    "UNROUTED": "unrouted",  # hash: contract name -> events that nobody subscribed to
}

OF_QUEUE = {
    "READY": "ready:",  # list: ids, the next one first
    "SUSPECTS": "suspects:",  # list: ids taken over from a lost worker
    "LONE": "lone:",  # list: ids taken over once more, each to be run alone
    "SCHEDULED": "scheduled:",  # sorted set: id -> when it is due
    "LEASED": "leased:",  # sorted set: id -> when its lease ends
    "WAKE": "wake:",  # list: holds one element when an idle worker should look
    "CONSUMERS": "consumers:",  # sorted set: owner that takes from the queue -> when it was last heard of
    "COUNTS": "counts:",  # hash: what the queue ever did
    "HUNTER": "hunter:",  # string: the owner that was told of suspects last
    "ORDERED": "ordered:",  # hash: id -> the ordered lane it belongs to
    "HOLDER": "holder:",  # hash: ordered lane -> the id that others of it wait for
    "OWNER": "owner:",  # hash: ordered lane -> the worker that fetched its holder last
    "PAUSED": "paused:",  # hash: when, by whom and why the queue was paused, as long as it is
    "LIMITS": "limits:",  # hash: actor -> how many may be leased, or `none` until what waited has gone
}

OF_LANE = {
    "LANE": "lane:",  # list: ids that wait behind the holder of an ordered lane
    "HELD": "held:",  # hash: id that has a slot of an actor with a limit -> the worker that fetched it last
    "LINE": "line:",  # list: ids that wait for a slot of an actor
}
"""Then the length of the queue's name, the queue and the lane or actor, with colons between them."""

OF_KIND = {
    "ENDED_IN": "ended-in:",  # sorted set: name of a record -> when it ended
    "ENDED_UNTIL": "ended-until:",  # sorted set: the same -> when it will be forgotten
}
"""Then what it came to, the queue, with a colon between them."""

OF_OTHERS = {
    "ITEMS": "items:",  # hash per delivery id: loop and key of an item -> what became of it
    "ENDED_ITEMS": "ended-items:",  # hash per ended id: the same, kept with the record
    "ENDED": "ended:",  # hash per ended id: the record of a delivery that has ended
    "DONE": "done:",  # hash per window, bucket and shard: digest of an id -> fingerprint, fence, moment
    "RUNNING": "running:",  # string per worker: what it says it is at; 5 seconds
    "RELATED": "related:",  # hash per length, bucket and shard: correlation, event -> what it came of
    "ALIASES": "aliases:",  # hash per length, bucket and shard: digest of an event -> ids of deliveries
}


def root_of(workspace: str) -> str:
    """What every key of a workspace begins with."""
    return ROOT.format(workspace=workspace)


def queue_key(root: str, part: str, queue: str) -> str:
    """The key of one part of a queue, as `READY` or `WAKE`."""
    return root + OF_QUEUE[part] + queue


def lua_names(text: str) -> str:
    """The names that a script uses as Lua locals, made from `KEYS[1]`, the root."""
    used = set(re.findall(r"\b[A-Z_]+\b", text))
    names = {**OF_WORKSPACE, **OF_QUEUE, **OF_LANE, **OF_KIND, **OF_OTHERS}
    lines = [f"local {name} = ROOT .. '{part}'" for name, part in names.items() if name in used]
    return "\n".join(["local ROOT = KEYS[1]", *lines]) + "\n"
