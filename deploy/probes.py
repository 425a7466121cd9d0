"""Metrics and health of a process over HTTP, on a port of their own, for those who watch it.

Nobody is asked who he is, so what a stranger can hold is bounded: so many connections at once, each for so long.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

CONNECTIONS_MAX: Final = 16
CONNECTION_S: Final = 10.0
"""Of a connection, from its first packet to its last; it serves one request."""

ProbeAnswer = tuple[int, bytes, str]  # status, body, content type
Routes = Mapping[str, Callable[[], ProbeAnswer]]  # by path


class Probes(ThreadingHTTPServer):
    """Serves `routes` to GET until shutdown(). OSError or OverflowError where the address can't be listened on."""

    daemon_threads = True
    request_queue_size = 128  # those beyond wait a second for nothing

    def __init__(self, routes: Routes, host: str, port: int) -> None:
        self.routes = routes
        self.slots = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__((host, port), ProbeHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, or close it at once where there are too many."""
        if not self.slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and cut it when its time is over, however slowly it drips."""
        end = threading.Timer(CONNECTION_S, cut, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self.slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks isn't worth a line."""


class ProbeHandler(BaseHTTPRequestHandler):
    """Answers one request by its path."""

    server: Probes

    def do_GET(self) -> None:  # the name is http.server's
        """ProbeAnswer as the route says; 404 where there is none."""
        route = self.server.routes.get(self.path.split("?")[0])
        status, body, kind = route() if route else (404, b"not found\n", "text/plain")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Scrapes aren't worth a line."""


def cut(connection: socket.socket) -> None:
    """End a connection that may have ended already."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def serve_probes(routes: Routes, host: str, port: int) -> Probes:
    """Serve from a thread. Port 0 takes a free one; OSError or OverflowError where it can't be listened on."""
    server = Probes(routes, host, port)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server


def health(problem: Callable[[], str]) -> Callable[[], ProbeAnswer]:
    """A route that says ok, or 503 with what is the matter."""

    def answer() -> ProbeAnswer:
        found = problem()
        return (503, found.encode() + b"\n", "text/plain") if found else (200, b"ok\n", "text/plain")

    return answer
