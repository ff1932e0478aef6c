"""A small Hub on loopback for tests: repositories in memory, the requests of the real client, faults on demand."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from distill_pipeline_tests.servers.hub_api import Api, Commit, Repository, resolve

TOKEN = "hf_standInWriteTokenForTestsOnly"
READ_TOKEN = "hf_standInReadTokenForTestsOnly"


@dataclass
class Fault:
    """What goes wrong with requests whose method and path match.

    Attributes:
        kind: A status before anything is processed; `drop` (no answer, nothing processed); `cut` (reset amid the
            request's body); `lost` and `lost 504` (processed, the answer lost or replaced); `stall` (no answer until
            the hub lets go), `late` (the same, but processed before); `race` (someone else commits just before);
            `truncate`, `reset` or `corrupt` (the body).
        method, path: The method, and a part of the path.
        times: How many matching requests are hit.
        skip: How many matching requests pass before.
        retry_after: Seconds, for a status.
    """

    kind: str
    method: str
    path: str
    times: int = 1
    skip: int = 0
    retry_after: int | None = None


class Hub:
    """The server; `url` is what HF_ENDPOINT must be before huggingface_hub is imported."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.lfs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self.stalled = threading.Event()
        self.let_go = threading.Event()
        hub = self

        class Handler(_Handler):
            hub_ = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def reset(self) -> None:
        """Forget everything, for the next test."""
        self.let_go.set()
        with self.lock:
            for kept in (self.repositories, self.lfs, self.faults, self.requests):
                kept.clear()
        self.stalled, self.let_go = threading.Event(), threading.Event()

    def create(self, name: str, files: dict[str, bytes] | None = None, **fields: Any) -> Repository:
        """Make a repository with one initial commit."""
        repository = self.repositories[name] = Repository(**fields)
        repository.commit("refs/heads/main", "initial commit", {".gitattributes": b"", **(files or {})})
        return repository

    def releases(self, name: str) -> list[Commit]:
        """Return the commits of a repository after its initial one."""
        return list(self.repositories[name].commits.values())[1:] if name in self.repositories else []

    def take_fault(self, method: str, path: str) -> Fault | None:
        """Return the first fault that hits this request, and use it up."""
        with self.lock:
            self.requests.append((method, path))
            for fault in self.faults:
                if fault.times and fault.method in {method, "*"} and fault.path in path:
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub_: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do(self) -> None:
        path = unquote(self.path)
        fault = self.hub_.take_fault(self.command, path)
        kind = fault.kind if fault else ""
        length = int(self.headers.get("Content-Length") or 0)
        if kind == "cut":
            self.rfile.read(length // 2)
            self._abort()
            return
        body = self.rfile.read(length)
        if fault and kind.isdigit():
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            self._answer(int(kind), {"error": "injected"}, headers)
            return
        if kind == "stall":
            self.hub_.stalled.set()
            self.hub_.let_go.wait(30)
        if kind in {"drop", "stall"}:
            self._abort()
            return
        with self.hub_.lock:
            status, content, headers = self._route(path, body, race=kind == "race")
        if kind == "late":
            self.hub_.stalled.set()
            self.hub_.let_go.wait(30)
        if kind == "lost 504":
            status, content, headers = 504, {"error": "gateway time-out"}, {}
        if kind in {"lost", "late"}:
            self._abort()
        elif kind in {"truncate", "reset", "corrupt"} and isinstance(content, bytes) and content:
            self._spoil(kind, status, content, headers)
        else:
            self._answer(status, content, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do  # noqa: N815

    def _abort(self) -> None:
        """Reset the connection instead of answering."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())  # close() alone waits for the files that were made of the socket

    def _spoil(self, kind: str, status: int, content: bytes, headers: dict[str, str]) -> None:
        if kind == "corrupt":
            middle = len(content) // 2
            spoilt = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            self._answer(status, spoilt, headers)
            return
        self._answer(status, content, headers, send=len(content) // 2)
        self.wfile.flush()
        if kind == "reset":
            self._abort()
        self.close_connection = True

    def _answer(self, status: int, content: Any, headers: dict[str, str], send: int | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:send])

    def _route(self, path: str, body: bytes, *, race: bool) -> tuple[int, Any, dict[str, str]]:  # noqa: PLR0911
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        names = parts.path.strip("/").split("/")
        if names[0] == "lfs":
            return self._lfs(names[1], body)
        if token not in {"", TOKEN, READ_TOKEN}:
            return 401, {}, {"X-Error-Message": "Invalid credentials in Authorization header"}
        if self.command in {"POST", "PUT"} and token != TOKEN:
            return (403 if token else 401), {"error": "no right to write"}, {}
        if names[:2] == ["api", "validate-yaml"]:
            return 200, {"errors": [], "warnings": []}, {}
        if names[:3] == ["api", "repos", "create"]:
            return self._create(json.loads(body))
        offset = 2 if names[0] == "api" else 0
        name = "/".join(names[offset : offset + 2]).removesuffix(".git")
        repository = self.hub_.repositories.get(name)
        if repository is None or (repository.private and not token):
            return (404 if token else 401), {}, {"X-Error-Code": "RepoNotFound"}
        rest = names[offset + 2 :]
        if not offset and rest[0] == "resolve":
            return resolve(repository, rest[1], "/".join(rest[2:]))
        if not offset:
            return self._batch(json.loads(body))
        return Api(self.hub_.url, self.hub_.lfs, name, repository, body, query, race).answer(rest)

    def _create(self, wanted: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        name = f"{wanted['organization']}/{wanted['name']}"
        url = {"url": f"{self.hub_.url}/{name}"}
        if name in self.hub_.repositories:
            return 409, {**url, "error": "You already created this model repo"}, {}
        if wanted["organization"] == "stranger":
            return 403, {"error": "not yours"}, {}
        self.hub_.create(name, private=wanted.get("visibility") == "private" or wanted.get("private") is True)
        return 200, url, {}

    def _batch(self, wanted: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        objects = [
            item
            if item["oid"] in self.hub_.lfs
            else {**item, "actions": {"upload": {"href": f"{self.hub_.url}/lfs/{item['oid']}"}}}
            for item in wanted["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}, {}

    def _lfs(self, oid: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, {"error": "wrong content"}, {}
        self.hub_.lfs[oid] = body
        return 200, {}, {}
