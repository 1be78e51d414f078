"""Opens the mailbox that the settings name: on a server, or on the embedded one."""

import structlog

from ..embedded import EmbeddedServer
from ..settings import Settings
from .redis import RedisMailbox
from .suitability import ensure_suitable

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.mailbox")


def open_mailbox(settings: Settings) -> RedisMailbox:
    """The mailbox of a workspace; raises `UnsuitableServer` or `MailboxUnavailable`."""
    if settings.url is not None:
        mailbox = RedisMailbox(settings.url, settings.workspace, most_recorded=settings.dead_letters)
    else:
        server = EmbeddedServer(settings.home)
        mailbox = RedisMailbox(
            server.open(),
            settings.workspace,
            most_recorded=settings.dead_letters,
            revive=server.open,
            closing=server.close,
        )
    ensure_suitable(mailbox.client, logger, is_kept=settings.url is None, is_forced=settings.force)
    return mailbox
