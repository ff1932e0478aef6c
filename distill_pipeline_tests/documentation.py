"""Runs what README and docs show, one command after another, in a working folder of its own with tiny teachers.

    python -m distill_pipeline_tests.documentation FOLDER

The last line is a JSON list: for each command what it was and what went wrong, empty if nothing did.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from distill_pipeline_tests import PROJECT
from distill_pipeline_tests.shortened import do_less

PAGES = (
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs").glob("*.md")),
    *sorted((PROJECT / "deploy").glob("*.md")),
)

NOT_HERE = ("git ", "docker ", "cd ", "cp ", "chmod ", "export ")
"""Commands of other tools, which need a clone's address or Docker; `make test-team` runs deploy's services."""

TOOLS_OF_THE_PROJECT = {"bench", "clean", "dev", "docs", "lint", "lock", "setup", "test"} | {
    f"test-{what}" for what in ("team", "ui", "runtimes")
}
"""Make's targets that are only looked up: CI runs most of them, and the others take hours or open a port."""

OF_ANOTHER_MAKE = {"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "ARGS"}
"""Variables through which a make that runs the tests would speak to those that are run here."""

SMALL = {
    "vocabulary_words": "100",
    "dictionary_texts": "100",
    "generated_texts": "300",
    "labelled_sets": "[]",
    "compare_with_model2vec": "false",
    "max_regression": "2",
    "precision": "float32",
}
FLOOR = "min_similarity_correlation: -1\n"
"""Teachers with random weights teach nothing."""


def commands() -> Iterator[tuple[str, str]]:
    """Yield the page and text of each documented command and Python block, in the pages' order."""
    for page in PAGES:
        for kind, block in re.findall(r"```(console|python)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            if kind == "python":
                yield page.name, block
            else:
                for line in block.splitlines():
                    if line.startswith("$ "):
                        yield page.name, re.sub(r"\s{2,}#.*", "", line.removeprefix("$ ")).strip()


def prepare(folder: Path) -> None:
    """Fill the working folder with what the pages assume: recipes of their names, texts, and teachers on a Hub."""
    from distill_pipeline_tests.servers.hub import TOKEN, Hub

    hub = Hub()
    # Before huggingface_hub is imported, which reads its address then.
    os.environ |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "DISTILL_HOME": str(folder / ".distill")}
    from distill_pipeline_tests.teachers import build_modernbert

    teacher = build_modernbert(folder / "teacher")
    files = {path.relative_to(teacher).as_posix(): path.read_bytes() for path in teacher.rglob("*") if path.is_file()}
    hub.create("nomic-ai/modernbert-embed-base", files)
    recipes = folder / ".distill" / "recipes"
    recipes.mkdir(parents=True)
    small = (
        "".join(f"{field}: {value}\n" for field, value in SMALL.items()) + FLOOR + f"teacher: {teacher}\npca_dims: 8\n"
    )
    for name in ("minilm-256", "my-model"):  # a file of one's own goes before the shipped one
        (recipes / f"{name}.yaml").write_text(small)
    (recipes / "my-corpus.yaml").write_text(f"{small}refinement: corpus\ncorpus: [texts.txt]\n")
    texts = "\n".join(f"the owl number {n} hunts mice near house {n + 1}" for n in range(200))
    (recipes / "texts.txt").write_text(texts)
    for name in ("texts.txt", "a.txt"):
        (folder / name).write_text(texts)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "the owl hunts mice"}\n'))
    shutil.copy(PROJECT / "README.md", folder)
    sweep = (PROJECT / "docs" / "examples" / "minilm-sweep.yaml").read_text().replace("[64, 128, 256]", "[8]")
    (folder / "docs" / "examples").mkdir(parents=True)
    sweep = sweep.replace("MINILM_EMBEDDED", str(teacher)).replace("vocabulary_words: 60000\n", "")
    (folder / "docs" / "examples" / "minilm-sweep.yaml").write_text(small.partition("teacher")[0] + sweep)


def run(command: str, folder: Path, names: dict[str, object]) -> str:
    """Run one command or block; returns what went wrong, or an empty text."""
    if "\n" in command:
        return _run_python(command, folder, names)
    problems = [_run_part(part.strip(), folder) for part in re.split(r" && (?![^']*'$)", command)]
    return "; ".join(filter(None, problems))


def _run_part(command: str, folder: Path) -> str:
    if command.startswith(NOT_HERE):
        return ""
    if command.startswith("make "):
        target = shlex.split(command)[1]
        make = ["make", "-n", *shlex.split(command)[1:]]
        # What `make test ARGS=...` was given is none of what the pages give.
        given = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_MAKE}
        shown = subprocess.run(make, cwd=PROJECT, env=given, capture_output=True, text=True, check=False)  # noqa: S603
        if shown.returncode or target in TOOLS_OF_THE_PROJECT:
            return shown.stderr if shown.returncode else ""
        [command] = [line.strip() for line in shown.stdout.splitlines() if "bin/distill-pipeline" in line]
    if re.match(r"(\.venv/bin/)?distill-pipeline ", command):
        return _run_command_line(shlex.split(command)[1:])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = command.replace(".venv/bin/", "").replace("zcat texts.gz", "cat texts.txt")
    where = PROJECT if command.startswith("dg ") else folder
    ended = subprocess.run(command, cwd=where, env=environment, shell=True, capture_output=True, text=True)  # noqa: S602, PLW1510
    return ended.stdout + ended.stderr if ended.returncode else ""


def _run_command_line(arguments: list[str]) -> str:
    from huggingface_hub import HfApi

    from distill_pipeline.cli.main import main

    arguments = ["8" if value == "256" else value for value in arguments]  # no more than the tiny teacher has
    if arguments[0] == "distill":
        arguments += [f"--{field}={value}" for field, value in SMALL.items()] + ["--min_similarity_correlation=-1"]
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            if arguments[0] == "rollback":
                HfApi().create_tag("me/my-model", tag="v3", exist_ok=True)
            main(arguments)
    except SystemExit as ended:
        return said.getvalue() if ended.code else ""
    except Exception:  # noqa: BLE001 -- whatever it is, the command doesn't work
        return traceback.format_exc()
    return ""


def _run_python(block: str, folder: Path, names: dict[str, object]) -> str:
    texts = {"false": "False", "float32": '"float32"'}
    small = ", ".join(f"{field}={texts.get(value, value)}" for field, value in SMALL.items())
    teacher = f'teacher="{folder / "teacher"}", {small}, min_similarity_correlation=-1'
    block = block.replace('teacher="MINILM_EMBEDDED"', teacher).replace("pca_dims=128", "pca_dims=8")
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            exec(block, names)  # noqa: S102
    except Exception:  # noqa: BLE001 -- whatever it is, the block doesn't work
        return traceback.format_exc()
    return ""


def main() -> None:
    """Run all commands in the folder that the command line names."""
    folder = Path(sys.argv[1])
    prepare(folder)
    os.chdir(folder)
    do_less(pytest.MonkeyPatch())
    names: dict[str, object] = {}
    found = [[page, command, run(command, folder, names)] for page, command in commands()]
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
