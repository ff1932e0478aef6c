"""A real server on loopback that takes reports of failed runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import chain, repeat

SECRET = "a-secret-in-its-path"


@contextmanager
def listening(*statuses: int) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that gives these answers in turn, then 204; yields its URL and what was posted."""
    posted: list[dict[str, str]] = []
    answers = chain(statuses, repeat(204))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(next(answers))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{SECRET}", posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
