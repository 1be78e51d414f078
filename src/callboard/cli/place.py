"""Which mailbox a command is about, when there is no app to ask; and opening it without making one."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..actors.embedded import EmbeddedServer
from ..actors.mailbox.redis import RedisMailbox
from ..actors.server_url import redact_url
from ..actors.settings import Settings, load_settings
from ..messages.errors import MailboxRefused, MailboxUnavailable
from .exits import NotThere

PATIENCE = 1.0
"""Seconds that a command goes on trying to reach a server: somebody waits for it."""


@Parameter(name="*")
@dataclass(frozen=True)
class Place:
    """Where the mailbox is; what is not given comes from the environment or callboard.toml."""

    url: Annotated[
        str | None, Parameter(help="A Redis or Valkey server (CALLBOARD_URL, better for a password).")
    ] = None
    home: Annotated[
        Path | None, Parameter(help="The embedded server's directory (CALLBOARD_HOME, else .callboard).")
    ] = None
    workspace: Annotated[
        str | None, Parameter(help='The workspace in the server (CALLBOARD_WORKSPACE, else "default").')
    ] = None

    def settings(self) -> Settings:
        """The settings that hold; raises `ConfigurationError` with all faults."""
        return load_settings(url=self.url, home=self.home, workspace=self.workspace)


@contextmanager
def mailbox_at(settings: Settings) -> Iterator[RedisMailbox]:
    """The mailbox of the settings, for as long as it is looked at.

    An embedded server whose data is there is started for the time, but none is made. Raises
    `NotThere`, `MailboxUnavailable` or `MailboxRefused`.
    """
    with _server(settings) as url, naming(settings):
        mailbox = RedisMailbox(url, settings.workspace, patience=PATIENCE)
        with closing(mailbox):
            yield mailbox


@contextmanager
def _server(settings: Settings) -> Iterator[str]:
    if settings.url is not None:
        yield settings.url
        return
    if not has_data(settings.home):
        raise NotThere(
            f"there is no mailbox in {settings.home} yet: publish something or run an app here, "
            "or name another place with --home or --url"
        )
    with closing(EmbeddedServer(settings.home)) as server:
        yield server.open()


@contextmanager
def naming(settings: Settings) -> Iterator[None]:
    """Let the errors of a server say which one it was."""
    try:
        yield
    except MailboxUnavailable as error:
        if settings.url is not None:
            raise  # it names the server
        raise MailboxUnavailable(f"{settings.home}: {error}") from error
    except MailboxRefused as error:
        raise MailboxRefused(f"{address_of(settings)}: {error}") from error


def address_of(settings: Settings) -> str:
    """Where the mailbox is, without a secret."""
    return str(settings.home) if settings.url is None else redact_url(settings.url)


def has_data(home: Path) -> bool:
    """Whether an embedded server has ever kept anything in a directory."""
    return (home / "appendonlydir").is_dir()
