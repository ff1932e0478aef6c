"""The services of deploy/compose.yaml as processes of this machine: the same commands, files and variables."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from distill_pipeline_tests import PROJECT

DEPLOY = PROJECT / "deploy"
DAGSTER_HOME = "/srv/dagster"
"""In the image; the Dockerfile copies `IMAGE_FILES` there."""

IMAGE_FILES = ("dagster.yaml", "workspace.yaml")


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
        self.ports = {"4000": free_port(), "3000": free_port()}
        self.values = {
            **values,
            "DAGSTER_HOME": str(self.home),
            "DISTILL_CODE_HOST": "127.0.0.1",
            "DISTILL_CODE_PORT": str(self.ports["4000"]),
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
            wait_until(lambda: self._lives(name) and self._web_answers(), 90, "the web server answers")

    def kill(self, name: str) -> None:
        """End a service as a power cut would."""
        self._end(name, signal.SIGKILL)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send GraphQL to the web server and return its data."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['3000']}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            said = json.load(answer)
        assert "errors" not in said, said
        data: dict[str, Any] = said["data"]
        return data

    def _here(self, command: list[str]) -> list[str]:
        """Return a command of the image for this machine: its programs, ports and files."""
        replaced = {"0.0.0.0": "127.0.0.1", **{port: str(here) for port, here in self.ports.items()}}  # noqa: S104
        program, *rest = (replaced.get(word, word.replace(DAGSTER_HOME, str(self.home))) for word in command)
        return [str(Path(sys.executable).with_name(program)), *rest]

    def _lives(self, name: str) -> bool:
        code = self._running[name].poll()
        assert code is None, f"{name} ended with status {code}"
        return True

    def _succeeds(self, command: list[str]) -> bool:
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0  # noqa: S603

    def _web_answers(self) -> bool:
        try:
            self.ask("{ version }")
        except OSError:
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
