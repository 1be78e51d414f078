"""The mailbox on a server: Redis or Valkey."""

from .mailbox import RedisMailbox

__all__ = ["RedisMailbox"]
