"""The exporter's own small HTTP server: /metrics, /livez and /readyz."""

import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

LONGEST_REQUEST = 10.0
"""Seconds that a client may take to say what it wants."""


class Answer(msgspec.Struct, frozen=True):
    """What is answered to a request."""

    body: bytes
    content_type: str = "application/json"
    status: HTTPStatus = HTTPStatus.OK


Page = Callable[[str], Answer]
"""Makes an answer; told what the client's `Accept` says."""


class Listener:
    """Serves pages on an address from a thread of its own; raises `OSError` if the address is taken."""

    def __init__(self, address: str, pages: Mapping[str, Page]) -> None:
        host, port = split_address(address)
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        kind = type("_Server", (_Server,), {"address_family": family})
        self._server: ThreadingHTTPServer = kind(place[:2], _handler(pages))
        self._thread = threading.Thread(target=self._server.serve_forever, name="callboard-http", daemon=True)
        self._thread.start()
        self.address = join_address(*self._server.server_address[:2])
        """Where it listens, with the port that was chosen if none was given."""

    def close(self) -> None:
        """Free the address."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, _request: Any, _client: Any) -> None:
        """A client that has left, or talks no HTTP, is nobody's fault here."""


def _handler(served: Mapping[str, Page]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = LONGEST_REQUEST
        pages = served

        def do_GET(self) -> None:
            page = self.pages.get(self.path.partition("?")[0])
            answer = NOT_FOUND if page is None else page(self.headers.get("Accept", ""))
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.body)

        do_HEAD = do_GET  # noqa: N815 - as above

        def version_string(self) -> str:
            return "callboard"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in http.server
            """A scrape every few seconds is no news."""

    return Handler


NOT_FOUND = Answer(b"there are /metrics, /livez and /readyz\n", "text/plain", HTTPStatus.NOT_FOUND)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, where an IPv6 host is in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def join_address(host: Any, port: Any) -> str:
    """`host:port`, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def is_free(address: str) -> bool:
    """Whether an address can be listened on now."""
    try:
        Listener(address, {}).close()
    except OSError:
        return False
    return True
