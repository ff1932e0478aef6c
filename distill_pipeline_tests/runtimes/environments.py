"""Environments of Python and of node, and running a snippet in one against a Hub on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill_pipeline.release.snippets import Snippet
from distill_pipeline_tests import PROJECT
from distill_pipeline_tests.runtimes.pins import PACKAGES

UV = str(Path(shutil.which(os.environ.get("UV", "uv")) or PROJECT / ".tools" / "bin" / "uv").absolute())

_PYTHON = """\
import json
texts, query = json.load(open("given.json"))
{code}
{read_back}
found = globals().get("found")
json.dump([[[float(number) for number in row] for row in embeddings], found], open("answer.json", "w"))
"""

_JAVASCRIPT = """\
import fs from "fs";
import {{ env }} from "@huggingface/transformers";
env.remoteHost = process.env.HF_ENDPOINT;
env.cacheDir = "cache";
const [texts, query] = JSON.parse(fs.readFileSync("given.json"));
{code}
fs.writeFileSync("answer.json", JSON.stringify([embeddings, null]));
"""

_READ_BACK = {
    "Qdrant": 'embeddings = [p.vector for p in client.retrieve("texts", range(len(texts)), with_vectors=True)]',
    "Chroma": 'embeddings = collection.get(include=["embeddings"])["embeddings"]',
    "LanceDB": 'embeddings = table.to_arrow()["vector"].to_pylist()',
}
"""What a database keeps, in the order of the texts."""


@dataclass(frozen=True)
class Environment:
    """A folder with a runtime's packages in it."""

    folder: Path
    runtime: str

    @classmethod
    def install(cls, folder: Path, runtime: str) -> Environment:
        """Install a runtime's packages into a new folder."""
        folder.mkdir()
        if runtime == "transformers.js":
            # The binary of ONNX Runtime lies in its package; its script would fetch one for CUDA besides.
            _run(["npm", "install", "--silent", "--ignore-scripts", *PACKAGES[runtime]], folder, dict(os.environ))
        else:
            install_python(folder, PACKAGES[runtime])
        return cls(folder, runtime)

    def run(self, snippet: Snippet, given: tuple[list[str], str], hub: str) -> tuple[list[list[Any]], list[str] | None]:
        """Run a snippet with texts and a query; returns its `embeddings` and `found`."""
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "OMP_NUM_THREADS") if name in os.environ}
        environment |= {"HF_ENDPOINT": hub, "HF_HOME": str(self.folder / "hf"), "FASTEMBED_CACHE_PATH": "fastembed"}
        environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "ANONYMIZED_TELEMETRY": "False", "HF_HUB_DISABLE_XET": "1"}
        (self.folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
        if snippet.language == "js":
            (self.folder / "snippet.mjs").write_text(_JAVASCRIPT.format(code=snippet.code), encoding="utf-8")
            _run(["node", "snippet.mjs"], self.folder, environment)
        else:
            code = _PYTHON.format(code=snippet.code, read_back=_READ_BACK.get(self.runtime, ""))
            (self.folder / "snippet.py").write_text(code, encoding="utf-8")
            _run([".venv/bin/python", "snippet.py"], self.folder, environment)
        embeddings, found = json.loads((self.folder / "answer.json").read_text(encoding="utf-8"))
        return embeddings, found


def install_python(folder: Path, packages: Sequence[str]) -> None:
    """Make an environment `.venv` with these packages in a folder."""
    _run([UV, "venv", "--quiet", "--python", sys.executable, ".venv"], folder, dict(os.environ))
    _run([UV, "pip", "install", "--quiet", "--python", ".venv/bin/python", *packages], folder, dict(os.environ))


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert ended.returncode == 0, f"{' '.join(command)}: {(ended.stdout + ended.stderr)[-3000:]}"
