"""The append-only history of a round: what publishers asked and were told, and which faults were made."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = "history.jsonl"


class History:
    """Appends lines of JSON, each with one write, so that many processes may share a file and be killed."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def invoke(self, member: str, event: str, tokens: Sequence[str], *, after_ms: int = 0) -> None:
        """A publisher is about to publish."""
        told = {"what": "invoke", "event": event, "member": member, "after_ms": after_ms}
        self._append([told | {"token": token} for token in tokens])

    def answer(self, what: str, tokens: Sequence[str], detail: str = "") -> None:
        """What a publisher was told: `ok`, `fail` or `unknown`."""
        self._append([{"what": what, "token": token, "detail": detail} for token in tokens])

    def fault(self, kind: str, *, member: str | None = None, pid: int = 0, start: float, end: float) -> None:
        """A fault that was made, by the monotonic clock; `member` or `pid` say to whom, neither to all."""
        self._append(
            [{"what": "fault", "kind": kind, "member": member, "pid": pid, "start": start, "end": end}]
        )

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _append(self, lines: list[dict[str, Any]]) -> None:
        at = time.monotonic()
        os.write(self._file, "".join(json.dumps(line | {"at": at}) + "\n" for line in lines).encode())


def read_history(directory: Path) -> list[dict[str, Any]]:
    """All lines, in the order of writing."""
    return [json.loads(line) for line in (directory / FILE).read_text("utf-8").splitlines()]
