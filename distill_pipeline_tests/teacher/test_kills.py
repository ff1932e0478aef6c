"""Real processes, killed with SIGKILL at moments of their encoding, and two processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from distill_pipeline.store.disk import file_table
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store

KEY = StageKey("token_embeddings", "f" * 64, {})

PROGRAM = """
import os, signal, sys
import torch
from pathlib import Path
from distill_pipeline.store import embeddings as parts, local as stores
from distill_pipeline.teacher import encoding
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline.teacher.teacher import load_teacher
from distill_pipeline_tests.teacher.test_kills import KEY

teacher_folder, root, moments = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def on_call(module, name, *, after=False):
    real = getattr(module, name)
    def wrapped(*arguments, **named):
        if after:
            real(*arguments, **named)
        die()
    setattr(module, name, wrapped)

def prepare(moment):
    if moment == "while a part is written":
        def half(table, path, **options):
            Path(path).write_bytes(b"PAR1" + bytes(100))
            die()
        parts.pq.write_table = half
    elif moment == "before the ledger names the part":
        on_call(encoding, "write_part", after=True)
    elif moment == "within a line of the ledger":
        def line(self, entry):
            with self.path.open("a") as file:
                file.write('{"part": "part-0000')
            die()
        parts.Ledger._append = line
    elif moment == "before the manifest":
        on_call(stores, "write_json")
    elif moment == "between the manifest and its place":
        on_call(stores, "replace_folder")

def run(moment):
    def report(progress):
        if moment == "in the second part" and progress.done > 50:
            die()
    def make(folder):
        return {"kept": encoding.encode_to_parts(work, teacher, folder, report)}
    prepare(moment)
    output, hit = stores.Store(root).get_or_make(KEY, make, resumable=True)
    print("hit" if hit else f"kept {output.facts['kept']}", flush=True)

torch.set_num_threads(1)  # no threads yet: each moment is a process forked from here, which spares loading torch
sequences = [[1, *range(5 + place, 6 + place + place % 5), 2] for place in range(200)]
work = encoding.EncodingWork(sequences, rows_per_part=40)
source = resolve_teacher(str(teacher_folder), None, known_commits=root / "none.json")
teacher = load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False)
for moment in moments:
    child = os.fork()
    if not child:
        run(moment)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    ledgers = [path.read_text() for path in (root / KEY.stage).glob(".*.partial/.ledger.jsonl")]
    print(moment, "killed" if status == signal.SIGKILL else "ended", [text.count("sha256") for text in ledgers])
    sys.stdout.flush()
"""


def _start(teacher: Path, root: Path, *moments: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", PROGRAM, str(teacher), str(root), *moments]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603


def _lines(process: subprocess.Popen[str]) -> list[str]:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out.splitlines()


@pytest.fixture(scope="module")
def whole(modernbert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """The files of a run that nothing interrupts."""
    root = tmp_path_factory.mktemp("whole")
    assert _lines(_start(modernbert, root, "never")) == ["kept 0", "never ended []"]
    return file_table(Store(root).folder(KEY))


def test_a_run_killed_again_and_again_keeps_every_finished_part_and_ends_with_the_same_bytes(
    modernbert: Path, whole: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    finished_parts = {
        "while a part is written": 0,
        "before the ledger names the part": 0,
        "within a line of the ledger": 0,
        "in the second part": 1,
        "before the manifest": 5,
        "between the manifest and its place": 5,
    }
    lines = _lines(_start(modernbert, tmp_path, *finished_parts, "never"))
    assert lines[:-2] == [f"{moment} killed [{count}]" for moment, count in finished_parts.items()]
    assert lines[-2:] == ["kept 200", "never ended []"]
    assert file_table(Store(tmp_path).folder(KEY)) == whole
    assert not list(Store(tmp_path).folder(KEY).glob(".*"))
    Store(tmp_path).get(KEY)


def test_of_two_runs_at_once_one_encodes_and_the_other_finds_it_whole(
    modernbert: Path, whole: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    both = [_start(modernbert, tmp_path, "never") for _ in range(2)]
    assert sorted(_lines(process)[0] for process in both) == ["hit", "kept 0"]
    assert file_table(Store(tmp_path).folder(KEY)) == whole
