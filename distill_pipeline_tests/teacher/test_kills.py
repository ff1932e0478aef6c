"""Real processes, killed with SIGKILL at moments of their encoding, and two processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distill_pipeline.store.disk import file_table
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store

KEY = StageKey("token_embeddings", "f" * 64, {})

PROGRAM = """
import json, os, signal, sys
import torch
from pathlib import Path
from distill_pipeline.store import embeddings as parts, local as stores
from distill_pipeline.teacher import encoding
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline.teacher.teacher import load_teacher
from distill_pipeline_tests.teacher.test_kills import KEY

teacher_folder = Path(sys.argv[1])
signal.alarm(120)  # until the teacher is loaded

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

def run(root, moment):
    def report(progress):
        if moment == "in the second part" and progress.done > 50:
            die()
    def make(folder):
        return {"kept": encoding.encode_to_parts(work, teacher, folder, report)}
    prepare(moment)
    output, hit = stores.Store(root).get_or_make(KEY, make, resumable=True)
    print("hit" if hit else f"kept {output.facts['kept']}", flush=True)

torch.set_num_threads(1)  # no threads yet: each run is a process forked from here, which spares loading torch
sequences = [[1, *range(5 + place, 6 + place + place % 5), 2] for place in range(200)]
work = encoding.EncodingWork(sequences, rows_per_part=40)
source = resolve_teacher(str(teacher_folder), None, known_commits=teacher_folder / "none.json")
teacher = load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False)
signal.alarm(0)
for line in sys.stdin:
    root, moments = json.loads(line)
    runs = []
    for moment in moments:  # at once
        runs.append(os.fork())
        if not runs[-1]:
            signal.alarm(120)  # a run that hangs ends, and has said nothing
            run(Path(root), moment)
            os._exit(0)
    ends = ["killed" if os.waitpid(child, 0)[1] == signal.SIGKILL else "ended" for child in runs]
    ledgers = [path.read_text() for path in (Path(root) / KEY.stage).glob(".*.partial/.ledger.jsonl")]
    print(*ends, [text.count("sha256") for text in ledgers], flush=True)
"""

Runs = Callable[..., list[str]]


@pytest.fixture(scope="module")
def runs(modernbert: Path) -> Iterator[Runs]:
    """Runs at once, each with the moment at which it dies; returns what they said, how they ended and the ledgers."""
    command = [sys.executable, "-c", PROGRAM, str(modernbert)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        said, asked = process.stdout, process.stdin
        assert said is not None
        assert asked is not None

        def start(root: Path, *moments: str) -> list[str]:
            print(json.dumps([str(root), moments]), file=asked, flush=True)
            lines: list[str] = []
            while not lines or "[" not in lines[-1]:
                lines.append(said.readline().rstrip())
                assert lines[-1], "the process has ended"
            return lines

        yield start


@pytest.fixture(scope="module")
def whole(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """The files of a run that nothing interrupts."""
    root = tmp_path_factory.mktemp("whole")
    assert runs(root, "never") == ["kept 0", "ended []"]
    return file_table(Store(root).folder(KEY))


def test_a_run_killed_again_and_again_keeps_every_finished_part_and_ends_with_the_same_bytes(
    runs: Runs, whole: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    finished_parts = {
        "while a part is written": 0,
        "before the ledger names the part": 0,
        "within a line of the ledger": 0,
        "in the second part": 1,
        "before the manifest": 5,
        "between the manifest and its place": 5,
    }
    for moment, count in finished_parts.items():
        assert runs(tmp_path, moment) == [f"killed [{count}]"], moment
    assert runs(tmp_path, "never") == ["kept 200", "ended []"]
    assert file_table(Store(tmp_path).folder(KEY)) == whole
    assert not list(Store(tmp_path).folder(KEY).glob(".*"))
    Store(tmp_path).get(KEY)


def test_of_two_runs_at_once_one_encodes_and_the_other_finds_it_whole(
    runs: Runs, whole: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    assert sorted(runs(tmp_path, "never", "never")) == ["ended ended []", "hit", "kept 0"]
    assert file_table(Store(tmp_path).folder(KEY)) == whole
