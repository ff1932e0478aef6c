"""A student that serves queries from one process: texts per second by thread, and memory, against its teacher.

model2vec sets its tokenizer's truncation in each call, which fails while another thread encodes: "Already borrowed".
So threads share the rows, and each has a tokenizer of its own.
"""

from __future__ import annotations

import argparse
import copy
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.machine import find_teacher, in_own_process, report

REQUESTS, TEXTS_EACH = 2000, 4
TEACHER_REQUESTS = 40
THREADS = (1, 2, 4)


def measure(encode: Callable[[Sequence[str]], Any], requests: int, threads: int) -> float:
    """Return the texts per second of requests of a few texts each, from this many threads."""
    from distill_pipeline.quality.agreement import evaluation_texts

    texts = evaluation_texts()
    batches = [[texts[(number + place) % len(texts)] for place in range(TEXTS_EACH)] for number in range(requests)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(encode, batches[:50]))  # so that each thread is warm
        started = time.perf_counter()
        list(pool.map(encode, batches))
        return requests * TEXTS_EACH / (time.perf_counter() - started)


def resident_bytes() -> int:
    """Return this process's memory now, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def run_side(model: str) -> dict[str, float]:
    """Load a student's folder, or a teacher's, and return its figures."""
    import numpy as np

    before = resident_bytes()
    if (Path(model) / "golden.parquet").exists():
        from model2vec import StaticModel
        from tokenizers import Tokenizer

        shared, requests, own = StaticModel.from_pretrained(model), REQUESTS, threading.local()

        def encode(texts: Sequence[str]) -> np.ndarray[Any, Any]:
            if not hasattr(own, "model"):
                own.model = copy.copy(shared)
                own.model.tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
            vectors: np.ndarray[Any, Any] = own.model.encode(texts)
            return vectors
    else:
        from sentence_transformers import SentenceTransformer

        loaded, requests = SentenceTransformer(model, device="cpu"), TEACHER_REQUESTS

        def encode(texts: Sequence[str]) -> np.ndarray[Any, Any]:
            vectors: np.ndarray[Any, Any] = loaded.encode(list(texts), show_progress_bar=False)
            return vectors

    figures = {f"texts/s, {threads} threads": measure(encode, requests, threads) for threads in THREADS}
    return {**figures, "MB": (resident_bytes() - before) / 1e6}


def main() -> None:
    """Measure both sides, each in a process of its own, and print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student", help="a release's folder")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(run_side(arguments.side)))
        return
    student, teacher = (
        in_own_process(__file__, [arguments.student, "--side", model])
        for model in (arguments.student, str(find_teacher().folder))
    )
    lines = [
        {"": name, "student": round(student[name]), "teacher": round(teacher[name]), "ratio": f"{ratio:.3g}"}
        for name, ratio in ((name, student[name] / teacher[name]) for name in student)
    ]
    report("serving", lines, texts_of_a_request=TEXTS_EACH)


if __name__ == "__main__":
    main()
