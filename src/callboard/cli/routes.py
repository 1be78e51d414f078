"""`callboard routes`: which actor subscribes to what, as workers have registered it."""

from cyclopts import App

from ..actors.mailbox.subscriptions import Subscription
from .place import Place, mailbox_at
from .tables import table
from .terminal import AsJson, console, examples, keep_logs_off_stdout, write_json

command = App(
    name="routes", help_epilogue=examples("callboard routes", "callboard routes --json | jq '.[].actor'")
)


Shown = tuple[Subscription, ...]
"""What `--json` prints."""


@command.default
def routes(*, place: Place | None = None, as_json: AsJson = False) -> None:
    """Show which actor subscribes to what, as workers registered it in the last 7 days.

    `--json` is a list of objects in the order of fan-out: `actor`, `queue`, `contracts` (the dedup window in
    ms by contract), `order`, `concurrency` (or null), `ordered` and `key` (fields, or null).
    """
    keep_logs_off_stdout()
    with mailbox_at((place or Place()).settings()) as mailbox:
        book = mailbox.routes()
    if as_json:
        write_json(book.subscriptions)
        return
    rows = [(each.actor, each.queue, ", ".join(sorted(each.contracts))) for each in book.subscriptions]
    if rows:
        console().print(table(("actor", "queue", "subscribes to"), rows, texts=3))
    else:
        console().print("no routes: a worker registers those of its app when it starts (callboard run)")
