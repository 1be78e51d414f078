"""A proxy between the load and the server that cuts, holds, refuses, resets, swallows as it is told."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CHUNK = 1 << 16

REFUSAL = b"-READONLY You can't write against a read only replica.\r\n"
"""What a server answers at the moment of a failover."""


class Link:
    """One connection through the proxy."""

    def __init__(self, pid: int, ends: "tuple[asyncio.StreamWriter, asyncio.StreamWriter]") -> None:
        self.pid = pid
        self.cut = False
        """The next reply is lost, and the connection with it."""
        self.hold = 0.0
        """The next reply comes so many seconds late."""
        self._ends = ends

    def abort(self) -> None:
        """Break both ends at once, without a word."""
        for end in self._ends:
            end.transport.abort()


class Proxy:
    """Listens on a unix socket and hands everything on to the server's.

    `happened` is told of each reply that was lost: the process id of whom it was for, and when.
    """

    def __init__(self, listen: Path, upstream: Path, happened: Callable[[int, float], None]) -> None:
        self._listen = listen
        self._upstream = upstream
        self._happened = happened
        self._links: set[Link] = set()
        self._cuts: list[bytes] = []
        self._refusals: list[bytes] = []
        self._holds: list[bytes] = []
        self._hold_seconds = 0.0
        self._holes: dict[int, float] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        """For redis-py."""
        return f"unix://{self._listen}"

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def cut(self, needle: bytes) -> None:
        """Let the next request that holds these bytes through, and lose the reply to it."""
        self._do(lambda: self._cuts.append(needle))

    def refuse(self, needle: bytes) -> None:
        """Answer the next request that holds these bytes with a refusal, in the server's place."""
        self._do(lambda: self._refusals.append(needle))

    def hold(self, needle: bytes, seconds: float) -> None:
        """Let the next request that holds these bytes through, and the reply to it only after a while."""
        self._hold_seconds = seconds
        self._do(lambda: self._holds.append(needle))

    def reset(self, pid: int) -> None:
        """Break all connections of a process."""
        self._do(lambda: self._reset(pid))

    def black_hole(self, pid: int, seconds: float) -> None:
        """Swallow all that a process sends or is sent, for a while; what it used then breaks."""
        until = time.monotonic() + seconds
        self._do(lambda: self._holes.__setitem__(pid, until))

    def disarm(self) -> None:
        """Forget the cuts and refusals that nobody ran into."""
        self._do(self._cuts.clear)
        self._do(self._refusals.clear)

    def close(self) -> None:
        """Break everything and end."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _reset(self, pid: int) -> None:
        for link in self._links:
            if link.pid == pid:
                link.abort()

    def _do(self, what: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(what)

    async def _open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._listen)

    async def _shut(self) -> None:
        self._server.close()
        self._closing.set()
        for link in self._links:
            link.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        except OSError:
            writer.transport.abort()
            return
        link = Link(_peer(writer), (writer, up_writer))
        self._links.add(link)
        if self._closing.is_set():
            link.abort()
        ways = [
            asyncio.ensure_future(self._requests(link, reader, up_writer, writer)),
            asyncio.ensure_future(self._replies(link, up_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._links.discard(link)

    async def _requests(
        self,
        link: Link,
        reader: asyncio.StreamReader,
        up: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(CHUNK):
            if await self._swallowed(link):
                return
            if _take(self._refusals, data):
                back.write(REFUSAL)
                continue
            link.cut = link.cut or _take(self._cuts, data)
            if _take(self._holds, data):
                link.hold = self._hold_seconds
            up.write(data)
            await up.drain()

    async def _replies(self, link: Link, up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await up.read(CHUNK):
            if await self._swallowed(link):
                return
            if link.cut:
                self._happened(link.pid, time.monotonic())
                return
            if link.hold:
                held, link.hold = link.hold, 0.0
                await asyncio.sleep(held)
            writer.write(data)
            await writer.drain()

    async def _swallowed(self, link: Link) -> bool:
        left = self._holes.get(link.pid, 0.0) - time.monotonic()
        if left <= 0:
            return False
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), left)
        return True


def _take(needles: list[bytes], data: bytes) -> bool:
    """Whether one of the needles is there; it is used up."""
    found = next((needle for needle in needles if needle in data), None)
    if found is not None:
        needles.remove(found)
    return found is not None


def _peer(writer: asyncio.StreamWriter) -> int:
    """The process id at the other end of a unix socket."""
    credentials = struct.Struct("3i")
    line: socket.socket = writer.get_extra_info("socket")
    pid: int = credentials.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))[0]
    return pid
