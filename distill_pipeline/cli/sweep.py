"""Commands about several recipes at once: running a sweep, and comparing what came of recipes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fire.decorators import SetParseFn

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.chain.teachers import teacher_name
from distill_pipeline.cli.flags import UsageError, truth
from distill_pipeline.cli.running import forced_stages, running
from distill_pipeline.cli.tables import rendered, table
from distill_pipeline.errors import DistillError, did_you_mean
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.teacher.backends import choose_encoder

if TYPE_CHECKING:
    import dagster as dg


@SetParseFn(str)  # type: ignore[untyped-decorator]
def sweep(name: str, force: str = "", *, release: str = "false", encoder: str = "") -> None:
    """Run all recipes of a sweep; one that fails holds up no other.

    Args:
        name: Name of a recipe file that holds `sweep:`, or a path to one (.yaml), which is copied to the recipes.
        force: Stages to compute in any case, separated by commas, or all.
        release: true to release each student too; without it a sweep ends with the quality reports.
        encoder: Where the teacher runs: local, or ray. $DISTILL_ENCODER, or local, when not given.
    """
    home = Home(default_home())
    _ = home.store  # one that can't be used is told of before any work
    forced, releasing = forced_stages(force), truth("release", release)
    choose_encoder(encoder)
    if name.endswith(".yaml") and Path(name).is_file():
        name = home.save_sweep(Path(name))
    members = [home.recipe(member) for member in _members(home, name)]
    try:
        outcomes = _run_all(home, members, forced, releasing)
    except KeyboardInterrupt:
        print("stopped; the same command goes on with what is missing", file=sys.stderr)
        sys.exit(130)
    failed = {recipe: outcome.problem for recipe, outcome in outcomes.items() if outcome.problem}
    print(f"\n{len(outcomes) - len(failed)} of {len(members)} recipes finished: distill-pipeline compare {name}")
    for recipe, why in failed.items():
        print(f"{recipe} failed: {why}", file=sys.stderr)
    if failed:
        sys.exit(1)


@SetParseFn(str)  # type: ignore[untyped-decorator]
def compare(*names: str, output: str = "") -> None:
    """Compare recipes that were run: a table, and a figure of agreement against size and speed.

    Args:
        names: Names of recipes, or of sweeps, which stand for their recipes.
        output: Folder for the table (JSON, CSV) and the figure; $DISTILL_HOME/comparison when not given.
    """
    from distill_pipeline.chain import comparison as compared

    home = Home(default_home())
    if not names:
        raise UsageError("compare needs names of recipes or of a sweep; see distill-pipeline recipes")
    reports, absent = compared.find_reports(home.store, home.recipes_named(names))
    if reports:
        found = compared.compare(reports)
        folder = Path(output).expanduser() if output else home.root / "comparison"
        folder.mkdir(parents=True, exist_ok=True)
        compared.write_comparison(folder, found)
        rows = table(*compared.HEADER, right={*compared.HEADER} - {"recipe", "best for"}, header=True)
        for cells in compared.table_rows(found):
            rows.add_row(*cells)
        print(rendered(rows))
        print("", *found.notes, sep="\n")
    for recipe, why in absent.items():
        print(f"not compared: {recipe}: {why}", file=sys.stderr)
    if not reports:
        raise UsageError("none of these recipes has a quality report, so there is nothing to compare")
    print(folder.resolve() / compared.FIGURE)


def _members(home: Home, name: str) -> Sequence[str]:
    sweeps = home.sweeps()
    if name in sweeps:
        return sweeps[name]
    if name in home.recipe_files():
        home.recipe(name)  # a sweep with a mistake in it says so here
        raise UsageError(f"{name!r} is no sweep but one recipe: distill-pipeline run {name}")
    known = f" (sweeps: {', '.join(sorted(sweeps))})" if sweeps else "; no recipe file holds `sweep:`"
    raise UsageError(f"there is no sweep {name!r}{did_you_mean(name, sweeps)}{known}")


class _Outcome(NamedTuple):
    """What came of one recipe: what went wrong, and what to say of it."""

    problem: str = ""
    said: str = "failed"


def _run_all(home: Home, members: Sequence[Recipe], forced: Sequence[str], releasing: bool) -> dict[str, _Outcome]:
    """Run the recipes one after another, and print a line for each."""
    outcomes: dict[str, _Outcome] = {}
    gone = _teachers_not_found(home, members)
    width = max(len(recipe.name) for recipe in members)
    with running(home) as run_recipe:
        for number, recipe in enumerate(members, 1):
            print(f"--- {recipe.name} ({number} of {len(members)})", file=sys.stderr)
            started = time.monotonic()
            outcome = _Outcome(gone.get(teacher_name(recipe), ""))
            if not outcome.problem:
                outcome = _run_one(partial(run_recipe, recipe, forced=forced, release=releasing))
            outcomes[recipe.name] = outcome
            print(f"{recipe.name:<{width}}  {time.monotonic() - started:7.1f} s  {outcome.said}", flush=True)
    return outcomes


def _teachers_not_found(home: Home, members: Sequence[Recipe]) -> dict[str, str]:
    """Return what is wrong with each teacher that can't be found; the patience with a Hub is spent on it once."""
    from distill_pipeline.chain.teachers import find_teacher
    from distill_pipeline.errors import TeacherError

    gone = {}
    for name, recipe in {teacher_name(recipe): recipe for recipe in members}.items():
        try:
            find_teacher(home, recipe)
        except TeacherError as error:
            gone[name] = str(error)
    return gone


def _run_one(run: Callable[[], dg.ExecuteInProcessResult]) -> _Outcome:
    """Run one recipe. Raises `KeyboardInterrupt` when someone stopped it."""
    import dagster as dg

    from distill_pipeline.cli.summary import explain_failure, interrupted, stage_metadata

    try:
        result = run()
    except (DistillError, dg.DagsterError, OSError) as error:
        return _Outcome(str(error))
    if interrupted(result):
        raise KeyboardInterrupt
    if not result.success:
        return _Outcome(explain_failure(result))
    stages = stage_metadata(result)
    computed = sum(stage["cache"] == "computed" for stage in stages.values())
    return _Outcome(said=f"{computed} of {len(stages)} stages computed")
