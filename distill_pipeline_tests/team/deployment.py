"""The services of deploy/compose.yaml as processes of this machine: the same commands, files and variables."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import yaml

from distill_pipeline_tests import PROJECT

DEPLOY = PROJECT / "deploy"
DAGSTER_HOME, PROXY_HOME = "/srv/dagster", "/srv/proxy"
"""In the image; the Dockerfile copies `IMAGE_FILES` and `PROXY_FILES` there."""

IMAGE_FILES, PROXY_FILES = ("dagster.yaml", "workspace.yaml"), ("Caddyfile",)
USER, PASSWORD = "ada", "of-this-test-alone"
"""Who may use the UI."""


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something to become true; fails with what it was when it doesn't."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain until {what}"
        time.sleep(0.3)


class Deployment:
    """Services by their compose names.

    Args:
        folder: Takes Dagster's home and the services' logs.
        values: The variables that compose.yaml hands to some service; each service gets only its own.
    """

    def __init__(self, folder: Path, values: Mapping[str, str]) -> None:
        self.folder = folder
        self.home = folder / "dagster"
        self.home.mkdir()
        for name in IMAGE_FILES:
            shutil.copy(DEPLOY / name, self.home)
        self.proxy = folder / "proxy"
        self.proxy.mkdir()
        for name in PROXY_FILES:
            shutil.copy(DEPLOY / name, self.proxy)
        self.ports = {"4000": free_port(), "3000": free_port(), "443": free_port()}
        self.url = f"http://127.0.0.1:{self.ports['443']}"
        self.values = {
            **values,
            "DAGSTER_HOME": str(self.home),
            "DISTILL_CODE_HOST": "127.0.0.1",
            "DISTILL_CODE_PORT": str(self.ports["4000"]),
            "DISTILL_UI_URL": self.url,
            "DISTILL_WEBSERVER": f"127.0.0.1:{self.ports['3000']}",
            "XDG_DATA_HOME": str(self.proxy),
        }
        self.services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._running)):
            self._end(name, signal.SIGTERM)
        # Pytest shows it when the test failed.
        for log in sorted(self.folder.glob("*.log")):
            print(f"--- {log.name}", log.read_text(errors="replace")[-4000:], sep="\n")  # noqa: T201

    def start(self, name: str) -> None:
        """Start a service as compose would, and wait for those that answer."""
        service = self.services[name]
        # What every process of a machine has, and what the image sets; nothing of this test's own environment.
        environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        environment |= {"DAGSTER_HOME": str(self.home), "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
        environment |= {key: self.values[key] for key in service["environment"] if self.values.get(key)}
        if name == "proxy":
            environment["DISTILL_UI_PORT"] = str(self.ports["443"])
            (self.proxy / "users").write_text(f"{USER} {_hash(PASSWORD)}\n")
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603
                self._here(service["command"]),
                env=environment,
                cwd=PROJECT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if name == "init":
            assert self._running.pop(name).wait(timeout=90) == 0, (self.folder / "init.log").read_text()
        elif name == "code":
            probe = self._here(service["healthcheck"]["test"][1:])
            wait_until(lambda: self._lives(name) and self._succeeds(probe), 90, "the code location answers")
        elif name == "webserver":
            wait_until(lambda: self._lives(name) and self._answers(), 90, "the web server answers")
        elif name == "proxy":
            wait_until(lambda: self._lives(name) and self._answers(proxy=True), 30, "the proxy answers")

    def kill(self, name: str) -> None:
        """End a service as a power cut would."""
        self._end(name, signal.SIGKILL)

    def ask(self, query: str, *, proxy: bool = False, **variables: Any) -> dict[str, Any]:
        """Send GraphQL to the web server, or through the proxy as someone who is signed in, and return its data."""
        url = self.url if proxy else f"http://127.0.0.1:{self.ports['3000']}"
        asked = {"query": query, "variables": variables}
        said = httpx.post(f"{url}/graphql", json=asked, headers={"Origin": url}, auth=(USER, PASSWORD), timeout=60)
        answer: dict[str, Any] = said.raise_for_status().json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def status(self, method: str, path: str, *, signed_in: bool = True, **headers: str) -> int:
        """Return the status of the proxy's answer to a request whose body is a harmless question."""
        auth = (USER, PASSWORD) if signed_in else None
        return httpx.request(
            method, self.url + path, headers=headers, auth=auth, json={"query": "{ version }"}, timeout=60
        ).status_code

    def _here(self, command: list[str]) -> list[str]:
        """Return a command of the image for this machine: its programs, ports and files."""
        replaced = {"0.0.0.0": "127.0.0.1", **{port: str(here) for port, here in self.ports.items()}}  # noqa: S104
        folders = {DAGSTER_HOME: str(self.home), PROXY_HOME: str(self.proxy)}
        for there, here in folders.items():
            command = [word.replace(there, here) for word in command]
        program, *rest = (replaced.get(word, word) for word in command)
        return [shutil.which(program) or str(Path(sys.executable).with_name(program)), *rest]

    def _lives(self, name: str) -> bool:
        code = self._running[name].poll()
        assert code is None, f"{name} ended with status {code}"
        return True

    def _succeeds(self, command: list[str]) -> bool:
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0  # noqa: S603

    def _answers(self, *, proxy: bool = False) -> bool:
        try:
            self.ask("{ version }", proxy=proxy)
        except httpx.HTTPError:
            return False
        return True

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=20)


def _hash(password: str) -> str:
    """Return a password's hash as the README has it made."""
    made = subprocess.run(  # noqa: S603
        [shutil.which("caddy") or "caddy", "hash-password", "--plaintext", password],
        capture_output=True,
        check=True,
        text=True,
    )
    return made.stdout.strip()
