"""What the benchmarks share: teachers, the machine's ceiling, a side in its own process, memory, tables and JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill_pipeline.teacher.source import TeacherSource

RESULTS = Path(__file__).parent / "results"


def find_teacher(location: str = "embedded:all-MiniLM-L6-v2") -> TeacherSource:
    """Return a teacher's files; each commit is asked for again."""
    from distill_pipeline.teacher.source import resolve_teacher

    return resolve_teacher(location, None, known_commits=Path(os.devnull))


def matrix_ceiling(dtype: str, device: str = "cpu", seconds: float = 2.0) -> float:
    """Return the best rate of matrix products on all cores or a GPU, in TFLOP/s, of the two routines that torch has."""
    import torch

    from distill_pipeline.teacher.passes.operations import linear

    count, inputs, outputs = (1536, 768, 2304) if device == "cpu" else (16_384, 4096, 4096)
    # Random numbers: a GPU multiplies ones faster, since it takes less power for them.
    rows = torch.randn(count, inputs, device=device).to(getattr(torch, dtype))
    weight = torch.randn(outputs, inputs, device=device).to(getattr(torch, dtype))
    best = 0.0
    with torch.inference_mode():
        for product in (lambda: linear(rows, weight, None), lambda: rows @ weight.T):
            until = time.perf_counter() + seconds / 2
            while time.perf_counter() < until:
                started = time.perf_counter()
                for _ in range(4):
                    product()  # type: ignore[no-untyped-call]
                if device != "cpu":
                    torch.cuda.synchronize()
                best = max(best, 4 * 2 * count * inputs * outputs / (time.perf_counter() - started))
    return best / 1e12


def in_own_process(script: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run a script in a process of its own and return the JSON of its last line."""
    finished = subprocess.run(
        [sys.executable, script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "TQDM_DISABLE": "1"},
    )
    if finished.returncode:
        raise SystemExit(finished.stderr[-3000:])
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found


@contextmanager
def anonymous_peak() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the peak of this process's anonymous memory since the block began, in MB.

    Pages of mapped files, such as weights that nothing wrote to, don't count: the kernel takes them back by itself when
    memory runs short. Linux alone tells the two apart, and keeps no peak, so a thread samples.
    """
    peak, stopped = 0.0, Event()

    def sample() -> float:
        nonlocal peak
        [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
        peak = max(peak, int(line.split()[1]) / 1024)
        return peak

    def keep_sampling() -> None:
        while not stopped.wait(0.01):
            sample()

    thread = Thread(target=keep_sampling)
    thread.start()
    try:
        yield sample
    finally:
        stopped.set()
        thread.join()


@contextmanager
def device_seconds(device: str) -> Iterator[list[float]]:
    """Yield a list that holds, after the block, how long a GPU computed and copied in it; empty for a CPU."""
    from torch.profiler import ProfilerActivity, profile

    found: list[float] = []
    if device == "cpu":
        yield found
        return
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        yield found
    found.append(sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6)


def report(name: str, lines: Sequence[Mapping[str, Any]], **facts: Any) -> None:
    """Print a table of the lines and write them, with the machine and other facts, to `results/NAME.json`."""
    columns = list(lines[0])
    cells = [[str(line.get(column, "")) for column in columns] for line in lines]
    widths = [max(len(text) for text in column) for column in zip(columns, *cells, strict=True)]
    for row in [columns, *cells]:
        print("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)))
    for fact, value in facts.items():
        print(f"{fact}: {value}")
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine(), **facts, "lines": list(lines)}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Describe the machine without its name."""
    import torch

    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":")[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }
