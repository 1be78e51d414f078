"""A terminal with a line running in it, as a person at a keyboard has it: colours, width, Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .guide import Line

SEAT = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "-c", sys.argv[1]])
"""
"""Makes the terminal that it was given its own, and becomes the shell: without it Ctrl-C reaches nobody."""

_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()=>][0-9A-B]?|\r")
_SIZE = (50, 160)


class Terminal:
    """A line of the README, running in a terminal of its own."""

    def __init__(self, line: Line, directory: Path, environment: Mapping[str, str]) -> None:
        self.line = line
        self._ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, _SIZE)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SEAT, line.text],
            cwd=directory,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        """What stands in the terminal, without its colours."""
        return _STYLES.sub("", self._said.decode("utf-8", "replace"))

    def until(self, pattern: str, within: float) -> str:
        """Wait until this is said; all that was said by then. Seconds.

        Raises:
            Stumble: It was not said in time, or cannot be said any more.
        """
        deadline = time.monotonic() + within
        while not re.search(pattern, self.said):
            if not self._reader.is_alive() and not re.search(pattern, self.said):
                raise self.line.stumble(f"ended without saying {pattern!r}:", self.said)
            if time.monotonic() > deadline:
                raise self.line.stumble(f"did not say {pattern!r} within {within:g} s:", self.said)
            time.sleep(0.02)
        return self.said

    def to_its_end(self, within: float) -> str:
        """Wait until it succeeds; what it said. Seconds.

        Raises:
            Stumble: It failed, or did not end in time.
        """
        self._await_end({0}, within)
        return self.said

    def interrupt(self, within: float) -> None:
        """Press Ctrl-C, and wait for it to end as what is interrupted may. Seconds.

        Raises:
            Stumble: It ended otherwise, or not in time.
        """
        os.write(self._ours, b"\x03")
        self._await_end({0, 128 + signal.SIGINT, -signal.SIGINT}, within)

    def close(self) -> None:
        """End whatever still runs in it."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._ours)

    def _await_end(self, codes: set[int], within: float) -> None:
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise self.line.stumble(f"had not ended after {within:g} s:", self.said) from None
        self._reader.join(1)  # the last words may still be on their way; a daemon may keep the terminal open
        if code not in codes:
            raise self.line.stumble(f"ended with exit code {code}:", self.said)

    def _read(self) -> None:
        with suppress(OSError):  # how Linux tells that nobody has the other side open any more
            while said := os.read(self._ours, 65536):
                self._said += said
