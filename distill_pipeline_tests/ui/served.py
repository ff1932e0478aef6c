"""`dagster dev` as `make dev` starts it, with a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distill_pipeline_tests import PROJECT
from distill_pipeline_tests.team.deployment import free_port

SECONDS_TO_START = 180


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Yield the URL of a UI whose `$DISTILL_HOME` is below a folder; its log lies beside it.

    Raises:
        AssertionError: It ended, or it doesn't answer within three minutes.
    """
    port, log = free_port(), folder / "dagster-dev.log"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment["OMP_NUM_THREADS"] = "1"  # CI runs the team's services beside it
    environment |= {"DISTILL_HOME": str(folder / "distill"), "DAGSTER_HOME": str(folder / "distill" / "dagster")}
    subprocess.run([sys.executable, "-m", "distill_pipeline", "init"], cwd=PROJECT, env=environment, check=True)
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=PROJECT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + SECONDS_TO_START
        while not _answers(url):
            said = log.read_text(errors="replace")[-4000:]
            assert process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.5)
        yield url
    finally:
        # It ends its web server, daemon and code location itself; what is left after that is killed with its group.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(url: str) -> bool:
    """Whether the web server is up and has loaded the code location."""
    query = {"query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"}
    request = urllib.request.Request(  # noqa: S310
        f"{url}/graphql", json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return bool(json.load(answer)["data"]["repositoriesOrError"].get("nodes"))
    except (urllib.error.URLError, OSError):
        return False
