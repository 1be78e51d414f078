"""The dedup store on Redis (7.0 or later) or Valkey: a Lua script a transition, by the server's clock."""

from functools import cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.retry import Retry

from ...messages.errors import ConfigurationError, StoreRefused, StoreUnavailable
from ..connections import Argument, Connections
from ..server_errors import named_errors
from .scripts import Script
from .store import ANSWERED_MS, REMEMBERED_MS, TAKEOVER_LIMIT, Claim, ClaimVerdict

ROOT = "callboard:{{{namespace}}}:dedup:"
"""All keys of a namespace share the hash tag in braces, so that a cluster keeps every script atomic."""

_script = cache(Script)


class RedisDedupStore:
    """Keeps the keys of a namespace on a server; implements `DedupStore`.

    The server must not evict (`maxmemory-policy noeviction`): a completion that is evicted is forgotten.
    `takeover_limit` is how many charged owners may be lost over a key before it is poison, `socket_timeout`
    how many seconds an answer may take.
    """

    def __init__(
        self,
        url: str,
        namespace: str = "default",
        *,
        takeover_limit: int = TAKEOVER_LIMIT,
        socket_timeout: float = 2.0,
    ) -> None:
        if not namespace or not namespace.isprintable() or set(namespace) & set("{}"):
            raise ConfigurationError(
                f"the namespace of a dedup store is {namespace!r}: give it a name without braces"
            )
        self.namespace = namespace
        self._root = ROOT.format(namespace=namespace)
        self._limit = takeover_limit
        self._closed = False
        # The client's own retries would send a script twice behind our back.
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=socket_timeout,
            socket_connect_timeout=socket_timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._connections = Connections(self._client.connection_pool)

    def claim(
        self, key: str, fingerprint: bytes, *, owner: str, lease_ms: int, charged: bool = True
    ) -> Claim:
        """See `DedupStore.claim`."""
        answer = self._run(
            "claim", key, fingerprint, owner, lease_ms, self._limit, REMEMBERED_MS, int(charged)
        )
        verdict, fence, takeovers, wait_ms = answer
        return Claim(
            key=key,
            verdict=ClaimVerdict(verdict.decode()),
            owner=owner,
            lease_ms=lease_ms,
            fence=fence,
            takeovers=takeovers,
            wait_ms=wait_ms,
        )

    def renew(self, claim: Claim) -> bool:
        """See `DedupStore.renew`."""
        return self._did("renew", claim.key, claim.fence, claim.lease_ms)

    def commit(self, claim: Claim, window_ms: int) -> bool:
        """See `DedupStore.commit`."""
        return self._did("commit", claim.key, claim.fence, window_ms, ANSWERED_MS)

    def release(self, claim: Claim, *, forget: bool = False) -> bool:
        """See `DedupStore.release`."""
        return self._did(
            "release", claim.key, claim.fence, claim.owner, int(forget), REMEMBERED_MS, ANSWERED_MS
        )

    def close(self) -> None:
        """See `DedupStore.close`."""
        self._closed = True
        self._connections.close()
        self._client.close()

    def _did(self, script: str, key: str, *arguments: Argument) -> bool:
        return bool(self._run(script, key, *arguments) == 1)

    def _run(self, script: str, key: str, *arguments: Argument) -> Any:
        if self._closed:
            raise StoreUnavailable("this dedup store was closed: make a new one")
        keys = (f"{self._root}live:{key}", f"{self._root}done:{key}", f"{self._root}fence")
        with named_errors(StoreUnavailable, StoreRefused, self._connections.place):
            try:
                return _script(script).run(self._connections, keys, arguments)
            except NoConnection:
                # The connection may have been kept since before a restart of the server. Whether it did what
                # was asked does not matter: each script knows a call that comes again.
                return _script(script).run(self._connections, keys, arguments)
