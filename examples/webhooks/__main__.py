"""Runs the example: two worker processes, 208 webhooks delivered three times each, and the digest."""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

DATA = Path(__file__).parent / "data" / "github-webhooks.jsonl.gz"
TIMES = 3
"""How often each webhook is delivered."""
AT_REST_WITHIN_MS = 120_000


def main() -> int:
    """Run it in a directory of its own, removed afterwards unless one is given; 0 if all is well."""
    parser = argparse.ArgumentParser(prog="python -m examples.webhooks", description=__doc__)
    parser.add_argument("--home", type=Path, help="keep the mailbox and the digest in this directory")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which webhooks arrive (1)")
    options = parser.parse_args()
    if options.home:
        return run(options.home.absolute(), options.seed)
    with tempfile.TemporaryDirectory(prefix="webhooks-") as home:
        return run(Path(home), options.seed)


def run(home: Path, seed: int) -> int:
    """Ingest while two workers handle; print what came of it once the mailbox is at rest.

    Answers 0 if each delivery id had one effect, else 1.
    """
    # The application and its workers are told where by the environment, before it is imported.
    os.environ["CALLBOARD_HOME"] = str(home / "mailbox")
    os.environ["WEBHOOKS_DIGEST"] = str(home / "digest.sqlite")
    home.mkdir(parents=True, exist_ok=True)

    from .app import QUEUE, app  # noqa: PLC0415 - see above
    from .digest import Digest  # noqa: PLC0415 - see above
    from .ingest import ingest, read_webhooks  # noqa: PLC0415 - see above
    from .show import show  # noqa: PLC0415 - see above

    arrivals = TIMES * list(read_webhooks(DATA))
    random.Random(seed).shuffle(arrivals)  # noqa: S311 - an order, not a secret
    with workers(home / "workers.log"):
        duplicates = ingest(app, arrivals)
        app.broker.join(QUEUE, timeout=AT_REST_WITHIN_MS)
    with closing(Digest(home / "digest.sqlite")) as digest:
        show(digest.rows())
        effects = digest.effects()
    app.close()
    ids = len({webhook.delivery for webhook in arrivals})
    say(f"{len(arrivals)} webhooks arrived, {duplicates} of them duplicates.")
    say(f"{ids} delivery ids, {effects} effects: {'one each' if effects == ids else 'NOT one each'}.")
    return int(effects != ids)


@contextmanager
def workers(log: Path) -> Iterator[None]:
    """Two worker processes, stopped as an operator would stop them."""
    command = [sys.executable, "-m", "dramatiq", "examples.webhooks.app:app.broker", "--processes", "2"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603 - its words are above
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def say(line: str) -> None:
    """Tell whoever runs it."""
    print(line)  # noqa: T201 - this is what the example prints


if __name__ == "__main__":
    sys.exit(main())
