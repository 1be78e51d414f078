"""Which dead letters a command of `callboard dlq` means, and whether that was said well enough."""

from dataclasses import dataclass
from itertools import islice
from typing import Annotated

from cyclopts import Parameter, validators

from ..actors.dead_letters import DeadFilter, DeadLetters
from ..actors.mailbox.mailbox import Mailbox
from ..messages.delivery import OutcomeKind, Reason
from ..messages.errors import ConfigurationError
from .asking import known_queues
from .exits import NotThere
from .how_far import count
from .moments import moment_ms

Names = Annotated[str, Parameter(name="NAME", help="Single ones, as `callboard dlq list --each` names them.")]
AtMost = Annotated[
    int | None,
    Parameter(validator=validators.Number(gte=1), help="So many at most, the ones that died first."),
]
All = Annotated[
    bool,
    Parameter(name="--all", negative="", show_default=False, help="Every one, where nothing else is said."),
]


@Parameter(name="*", show_default=False)
@dataclass(frozen=True)
class Where:
    """Which dead letters are meant; all if nothing is said."""

    actor: Annotated[str, Parameter(help="Those of one actor.")] = ""
    queue: Annotated[str, Parameter(help="Those of one queue.")] = ""
    reason: Annotated[str, Parameter(help="Those that died for it: `max_attempts`, `rejected`, ...")] = ""
    error: Annotated[str, Parameter(help="Those whose last error is of this class.")] = ""
    fingerprint: Annotated[str, Parameter(help="Those whose last error came from there; it may be cut.")] = ""
    event: Annotated[str, Parameter(help="Those of an event's id, or of a contract's name.")] = ""
    since: Annotated[str, Parameter(help="Dead since: how long ago (`2h`), or a moment in ISO 8601.")] = ""
    until: Annotated[str, Parameter(help="Dead until then.")] = ""

    def filter(self, now: int) -> DeadFilter:
        """The same as a filter; raises `ConfigurationError` for what cannot be read."""
        reasons = [reason.value for reason in Reason]
        if self.reason and self.reason not in reasons:
            raise ConfigurationError(f"--reason takes {', '.join(reasons)}, but is {self.reason!r}")
        return DeadFilter(
            actor=self.actor,
            queue=self.queue,
            reason=Reason(self.reason) if self.reason else None,
            error=self.error,
            fingerprint=self.fingerprint,
            event=self.event,
            since=moment_ms(self.since, now, option="--since") if self.since else 0,
            until=moment_ms(self.until, now, option="--until") if self.until else None,
        )


def check_said(names: tuple[str, ...], where: Where | None, *, every: bool, unasked: bool) -> None:
    """Raise `ConfigurationError` where it is not clear which are meant.

    `unasked` is to do it without asking: then all must be said to be meant by `every`, for a script's list or
    variable may have come out empty.
    """
    if names and where is not None:
        raise ConfigurationError("name single letters, or say which are meant with options, not both")
    said = bool(names) or (where or Where()) != Where()
    if every and said:
        raise ConfigurationError("say which are meant, or --all, not both")
    if unasked and not (every or said):
        raise ConfigurationError(
            "--yes would take every dead letter there is: name some, say what they have in common, or --all"
        )


def meant_in(mailbox: Mailbox, where: Where | None) -> DeadFilter:
    """Which are meant, as a filter; raises `NotThere` for a queue that there is not."""
    said = where or Where()
    if said.queue:
        known_queues(mailbox, (said.queue,))
    return said.filter(mailbox.info().at)


def count_meant(mailbox: Mailbox, meant: DeadFilter, names: tuple[str, ...], limit: int | None) -> int:
    """How many are meant; raises `NotThere` for a name that is no dead letter's."""
    if not names:
        return count(islice(DeadLetters(mailbox).each(meant), limit))
    for name in names:
        record = mailbox.records.get(name)
        if record is None or (record.kind is not OutcomeKind.DEAD and record.was is None):
            raise NotThere(f"no dead letter is named {name!r}: callboard dlq list --each tells names")
    return len(names[:limit])
