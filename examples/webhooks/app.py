"""The application: an actor for each kind of webhook, all of them writing to one digest."""

import os
from pathlib import Path

from callboard import Callboard, Context

from .contracts import (
    IssueChanged,
    IssueCommented,
    OtherWebhook,
    PullRequestChanged,
    Pushed,
    ReleaseChanged,
    Repository,
    WorkflowRan,
)
from .digest import Digest, Subject

QUEUE = "webhooks"
DELIVERY = "delivery"
"""The attribute that carries GitHub's delivery id."""

app = Callboard("webhooks")
app.provide(Digest, lambda: Digest(Path(os.environ.get("WEBHOOKS_DIGEST", "webhooks.sqlite"))))


@app.actor(queue=QUEUE)
def triage_issue(event: IssueChanged, ctx: Context, digest: Digest) -> None:
    """Open, closed or deleted, and by label."""
    issue = event.issue
    state = "deleted" if event.action == "deleted" else issue.state
    labels = [label.name for label in issue.labels]
    note(ctx, digest, event.repository, Subject("issue", str(issue.number), state, issue.updated_at, labels))


@app.actor(queue=QUEUE)
def follow_pull_request(event: PullRequestChanged, ctx: Context, digest: Digest) -> None:
    """Open, merged, or closed without."""
    pull = event.pull_request
    state = "merged" if pull.merged else pull.state
    labels = [label.name for label in pull.labels]
    note(ctx, digest, event.repository, Subject("pull", str(pull.number), state, pull.updated_at, labels))


@app.actor(queue=QUEUE)
def hear_comment(event: IssueCommented, ctx: Context, digest: Digest) -> None:
    """Made or edited, unless it was deleted."""
    comment = event.comment
    state = "deleted" if event.action == "deleted" else "made"
    note(ctx, digest, event.repository, Subject("comment", str(comment.id), state, comment.updated_at))


@app.actor(queue=QUEUE)
def list_release(event: ReleaseChanged, ctx: Context, digest: Digest) -> None:
    """Published, a draft, or deleted."""
    release = event.release
    state = "published" if release.published_at else "draft"
    if event.action == "deleted":
        state = "deleted"
    at = release.published_at or release.created_at
    note(ctx, digest, event.repository, Subject("release", str(release.id), state, at))


@app.actor(queue=QUEUE)
def watch_workflow(event: WorkflowRan, ctx: Context, digest: Digest) -> None:
    """How the latest run of each workflow ended, or how far it is."""
    run = event.workflow_run
    state = run.conclusion or run.status
    note(ctx, digest, event.repository, Subject("workflow", str(run.workflow_id), state, run.updated_at))


@app.actor(queue=QUEUE)
def see_push(event: Pushed, ctx: Context, digest: Digest) -> None:
    """Where each branch and tag stands."""
    at = event.head_commit.timestamp if event.head_commit else event.repository.updated_at
    state = "there" if event.head_commit else "gone"
    note(ctx, digest, event.repository, Subject("ref", event.ref, state, at))


@app.actor(queue=QUEUE)
def count_other(event: OtherWebhook, ctx: Context, digest: Digest) -> None:
    """Everything else is activity."""
    note(ctx, digest, event.repository, None, kind=event.event)


def note(
    ctx: Context,
    digest: Digest,
    repository: Repository | None,
    subject: Subject | None,
    *,
    kind: str | None = None,
) -> None:
    """Write a delivery down once, however often its handler starts."""
    delivery = ctx.attributes[DELIVERY]
    moments = [known for known in (repository and repository.updated_at, subject and subject.at) if known]
    first = digest.record(
        delivery=delivery,
        event=kind or ctx.name.removeprefix("github."),
        repository=repository.full_name if repository else "(no repository)",
        at=max(moments, default=None),
        fence=ctx.fence,
        subject=subject,
    )
    if not first:
        ctx.logger.info("an earlier start has done it", delivery=delivery)
