"""A PostgreSQL of its own, from Debian's package, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "of-this-test-alone"
DATABASE = {
    "DAGSTER_POSTGRES_DB": "postgres",
    "DAGSTER_POSTGRES_USER": "dagster",
    "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
}


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs, or None where the package is missing."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return max(found, key=lambda path: int(path.parts[-3])).parent if found else None


@contextmanager
def database(port: int) -> Iterator[dict[str, str]]:
    """Start a server on loopback; gives the environment that deploy/dagster.yaml reads."""
    binaries = programs()
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="distill-postgres-"))
    password, log = folder / "password", folder / "log"
    password.write_text(PASSWORD)
    user = _who(folder)
    try:
        subprocess.run(  # noqa: S603
            [
                *(binaries / "initdb", "--pgdata", folder / "data", "--username", "dagster", "--pwfile", password),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
            ],
            user=user,
            check=True,
            cwd=folder,
            capture_output=True,
        )
        with log.open("wb") as output:
            server = subprocess.Popen(  # noqa: S603
                [binaries / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"],
                user=user,
                cwd=folder,
                stdout=output,
                stderr=output,
            )
        try:
            _wait_for(binaries, folder, port)
            yield {**DATABASE, "DAGSTER_POSTGRES_HOST": "127.0.0.1", "DAGSTER_POSTGRES_PORT": str(port)}
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _who(folder: Path) -> int | None:
    """Return the user to run it as, who then owns the folder: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam("postgres").pw_uid
    for path in (folder, *folder.iterdir()):
        os.chown(path, user, -1)
    return user


def _wait_for(binaries: Path, folder: Path, port: int) -> None:
    ready: list[str | Path] = [binaries / "pg_isready", "--host", "127.0.0.1", "--port", str(port)]
    for _ in range(60):
        if subprocess.run(ready, check=False, capture_output=True).returncode == 0:  # noqa: S603
            return
        time.sleep(0.5)
    raise AssertionError((folder / "log").read_text())
