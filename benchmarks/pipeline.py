"""The whole chain cold, warm and with pca_dims changed, and a sweep of recipes, against model2vec.distill.

Ours is `distill-pipeline run` in one process, teacher to release with its quality report and pictures, which
model2vec.distill doesn't make (a sweep ends with the reports and draws nothing); the column "to student" leaves the
report and the release out. Like is set against like: the preset `model2vec`, whose students are those of distill. The
sweep is also run with `precision: auto`, which is bfloat16 where the hardware multiplies it; the last line is the
default recipe, which also fits the rows to texts. The warm run is also timed as a command of its own, from start to end
of its process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from benchmarks.machine import find_teacher, in_own_process, report

SWEEP = [{"pca_dims": dimensions} for dimensions in range(32, 385, 32)]
LIKE_DISTILL = {"preset": "model2vec", "compare_with_model2vec": False}
DEFAULT = {"compare_with_model2vec": False}
TO_STUDENT = ("vocabulary", "token_embeddings", "text_embeddings", "student_matrix", "static_model")


def run_pipeline(teacher: str, settings: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Run each recipe in this process, in one home, and return its seconds; several as a sweep does."""
    from distill_pipeline.chain.home import Home, default_home
    from distill_pipeline.cli.running import running
    from distill_pipeline.recipe.reading import make_recipe

    home, alone, found = Home(default_home()), len(settings) == 1, []
    recipes = [
        make_recipe({"name": f"bench-{place}", "teacher": teacher, **fields}, source="benchmark")
        for place, fields in enumerate(settings)
    ]
    for recipe in recipes:
        home.save_recipe(recipe)
    with running(home) as run:
        for recipe in recipes:
            started = time.perf_counter()
            result = run(recipe, release=alone, pictures=alone)
            seconds = time.perf_counter() - started
            of_stage = {
                event.asset_key.path[-1]: cast(float, event.materialization.metadata["seconds"].value)
                for event in result.get_asset_materialization_events()
                if event.asset_key is not None
            }
            found.append({"seconds": seconds, "to student": sum(of_stage[stage] for stage in TO_STUDENT)})
    return found


def run_model2vec(teacher: str, settings: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Call `model2vec.distill` for each recipe in this process and return the seconds of each."""
    from model2vec.distill import distill

    found = []
    for fields in settings:
        started = time.perf_counter()
        distill(teacher, device="cpu", **fields)
        found.append({"seconds": time.perf_counter() - started})
    return found


def side(name: str, teacher: str, settings: list[dict[str, Any]], home: Path) -> list[dict[str, float]]:
    """Run one side in a process of its own; recipes get their names before Dagster loads."""
    (home / "recipes").mkdir(parents=True, exist_ok=True)
    for place in range(len(SWEEP)):
        path = home / "recipes" / f"bench-{place}.yaml"
        if not path.exists():
            path.write_text("teacher: MINILM_EMBEDDED\n", encoding="utf-8")
    os.environ["DISTILL_HOME"] = str(home)
    os.environ.pop("DAGSTER_HOME", None)
    found = in_own_process(__file__, ["--side", name, "--teacher", teacher, "--settings", json.dumps(settings)])
    lines: list[dict[str, float]] = found["runs"]
    return lines


def hit_as_a_command() -> dict[str, float]:
    """Run a recipe whose outputs all exist as a command and return its seconds, and those of processor time."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "distill_pipeline", "run", "bench-0"], check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - started, "processor seconds": used}


def main() -> None:
    """Compare the sides, or be one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", default="embedded:all-MiniLM-L6-v2", help="A folder, or a name.")
    parser.add_argument("--calls", type=int, default=len(SWEEP), help="Calls of distill; the rest is extrapolated.")
    parser.add_argument("--side", choices=["ours", "model2vec"], help=argparse.SUPPRESS)
    parser.add_argument("--settings", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run = run_pipeline if options.side == "ours" else run_model2vec
        print(json.dumps({"runs": run(options.teacher, json.loads(options.settings))}))
        return
    teacher = str(find_teacher(options.teacher).folder)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        base, other = {"pca_dims": 256}, {"pca_dims": 128}
        [cold] = side("ours", teacher, [LIKE_DISTILL | base], home)
        [distill_cold] = side("model2vec", teacher, [base], home)
        [warm] = side("ours", teacher, [LIKE_DISTILL | base], home)
        command = hit_as_a_command()
        [changed] = side("ours", teacher, [LIKE_DISTILL | other], home)
        [distill_changed] = side("model2vec", teacher, [other], home)
        sweeps = {}
        for precision in ("float32", "auto"):
            recipes = [{**LIKE_DISTILL, "precision": precision, **fields} for fields in SWEEP]
            sweeps[precision] = side("ours", teacher, recipes, Path(folder) / f"sweep-{precision}")
        calls = side("model2vec", teacher, SWEEP[: options.calls], home)
        [default] = side("ours", teacher, [DEFAULT | base], Path(folder) / "default")
    distill_sweep = {"seconds": sum(call["seconds"] for call in calls) / len(calls) * len(SWEEP)}
    lines = [
        _line("cold", cold, distill_cold),
        _line("warm", warm, distill_cold),
        _line("pca_dims changed", changed, distill_changed),
    ]
    for precision, sweep in sweeps.items():
        total = {key: sum(run[key] for run in sweep) for key in ("seconds", "to student")}
        lines.append(_line(f"sweep of {len(SWEEP)}, precision {precision}", total, distill_sweep))
    lines.append(_line("cold, default recipe", default, distill_cold))
    report("pipeline", lines, hit_as_a_command=command, distill_calls_measured=len(calls))


def _line(what: str, ours: dict[str, float], distill: dict[str, float]) -> dict[str, Any]:
    return {
        "what": what,
        "ours s": round(ours["seconds"], 2),
        "to student s": round(ours["to student"], 2),
        "model2vec.distill s": round(distill["seconds"], 2),
        "times faster": round(distill["seconds"] / ours["seconds"], 1),
        "to student, times faster": round(distill["seconds"] / ours["to student"], 1),
    }


if __name__ == "__main__":
    main()
