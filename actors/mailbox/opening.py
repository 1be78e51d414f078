"""Opens the mailbox that the settings name: on a server, or on the embedded one."""

from contextlib import suppress

import structlog

from ...messages.errors import MailboxError
from ..embedded import EmbeddedServer
from ..settings import Settings
from .mailbox import Mailbox
from .permissions import examine_permissions
from .redis import RedisMailbox
from .suitability import act_on, ensure_suitable

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


def ensure_worker_permitted(mailbox: Mailbox, settings: Settings) -> None:
    """Log what a worker's user lacks on a server; raises `UnsuitableServer` when it could not work."""
    if isinstance(mailbox, RedisMailbox):
        findings = examine_permissions(mailbox.client, mailbox.workspace, "worker")
        act_on(findings, logger, is_forced=settings.force)


def tell_publisher(mailbox: Mailbox) -> None:
    """Log what a publisher's user lacks on a server; what it cannot do raises when it is done."""
    if isinstance(mailbox, RedisMailbox):
        with suppress(
            MailboxError
        ):  # that the server is not there is told by who publishes, who also insists
            findings = examine_permissions(mailbox.client, mailbox.workspace, "publisher")
            act_on(findings, logger, is_forced=True)
