"""What GitHub says, as contracts: of each payload only the fields this application uses."""

from datetime import datetime

import msgspec

from callboard import Event


class Label(msgspec.Struct, frozen=True):
    """A label of an issue or a pull request."""

    name: str


class Issue(msgspec.Struct, frozen=True):
    """An issue, as it was when the webhook was sent."""

    number: int
    state: str
    updated_at: datetime
    labels: tuple[Label, ...] = ()


class PullRequest(msgspec.Struct, frozen=True):
    """A pull request, as it was when the webhook was sent."""

    number: int
    state: str
    updated_at: datetime
    merged: bool | None = None
    labels: tuple[Label, ...] = ()


class Comment(msgspec.Struct, frozen=True):
    """A comment on an issue or a pull request."""

    id: int
    updated_at: datetime


class Release(msgspec.Struct, frozen=True):
    """A release; one that was never published is a draft."""

    id: int
    tag_name: str
    created_at: datetime
    published_at: datetime | None = None


class WorkflowRun(msgspec.Struct, frozen=True):
    """One run of a workflow; `conclusion` is None until it has ended."""

    workflow_id: int
    run_number: int
    status: str
    updated_at: datetime
    conclusion: str | None = None


class Commit(msgspec.Struct, frozen=True):
    """A commit that was pushed."""

    id: str
    timestamp: datetime


class Repository(msgspec.Struct, frozen=True):
    """Where something happened."""

    full_name: str
    updated_at: datetime


class IssueChanged(Event, name="github.issues"):
    """An issue was opened, edited, labelled, closed ..."""

    action: str
    issue: Issue
    repository: Repository


class PullRequestChanged(Event, name="github.pull_request"):
    """A pull request was opened, synchronized, merged ..."""

    action: str
    pull_request: PullRequest
    repository: Repository


class IssueCommented(Event, name="github.issue_comment"):
    """A comment was made, edited or deleted."""

    action: str
    comment: Comment
    repository: Repository


class ReleaseChanged(Event, name="github.release"):
    """A release was drafted, published, deleted ..."""

    action: str
    release: Release
    repository: Repository


class WorkflowRan(Event, name="github.workflow_run"):
    """A run of a workflow was requested or has ended."""

    action: str
    workflow_run: WorkflowRun
    repository: Repository


class Pushed(Event, name="github.push"):
    """Commits or tags were pushed; `head_commit` is None where a branch or tag was deleted."""

    ref: str
    after: str
    repository: Repository
    commits: tuple[Commit, ...] = ()
    head_commit: Commit | None = None


class OtherWebhook(Event, name="github.other"):
    """Anything else: it counts as activity, of a repository if it names one."""

    event: str = ""
    """The `X-GitHub-Event` header, which the payload does not repeat."""
    repository: Repository | None = None


BY_EVENT: dict[str, type[Event]] = {
    "issues": IssueChanged,
    "pull_request": PullRequestChanged,
    "issue_comment": IssueCommented,
    "release": ReleaseChanged,
    "workflow_run": WorkflowRan,
    "push": Pushed,
}
"""The contract of an `X-GitHub-Event` header; `OtherWebhook` for what is not in here."""
