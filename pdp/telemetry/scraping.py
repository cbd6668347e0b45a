"""The listener for Prometheus: `GET /metrics`, plain HTTP, bounded in connections and time.

It lives in the process that decides, so whoever can reach it must not be able to hold its threads.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import MetricsHandler
from typing_extensions import override

MAX_CONNECTIONS = 8  # at once; further ones are closed
PATH = "/metrics"


class _Handler(MetricsHandler):
    """Answers one request per connection."""

    timeout = 5.0  # seconds for each read and write
    server_version = "pdp"
    sys_version = ""

    @override
    def do_GET(self) -> None:
        if self.path.partition("?")[0] == PATH:
            super().do_GET()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    @override
    def version_string(self) -> str:
        return self.server_version


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Takes connections, each in a thread of its own, and never more than `MAX_CONNECTIONS`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, handler: type[_Handler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((host, port), handler)

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that broke off is nobody's fault; the default prints its address and a trace."""


def serve(host: str, port: int, registry: CollectorRegistry) -> Callable[[], None]:
    """Serve metrics; returns what ends it. `host` is a literal address. Raises OSError."""
    listener = _Listener(host, port, type("Handler", (_Handler,), {"registry": registry}))
    thread = threading.Thread(
        target=listener.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True
    )
    thread.start()

    def end() -> None:
        listener.shutdown()
        thread.join()
        listener.server_close()

    return end
