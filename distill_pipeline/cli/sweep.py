"""Commands for several recipes: run a sweep, and compare finished recipes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from distill_pipeline.chain.home import Home, default_home, is_recipe_file
from distill_pipeline.chain.teachers import teacher_name
from distill_pipeline.cli.flags import UsageError, command
from distill_pipeline.cli.running import check_release, forced_stages, running
from distill_pipeline.cli.tables import rendered, table
from distill_pipeline.errors import DistillError, TeacherError, did_you_mean
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.teacher.backends import choose_encoder

if TYPE_CHECKING:
    import dagster as dg


@command
def sweep(name: str, force: str = "", *, release: bool = False, encoder: str = "") -> None:
    """Run all recipes of a sweep; a failed one does not stop the others.

    Args:
        name: Name of a recipe file that holds `sweep:`, or a path to one (.yaml, .yml), which is copied to the recipes.
        force: Stages to compute in any case, separated by commas, or all.
        release: true to release each student too; without it a sweep ends with the quality reports.
        encoder: Where the teacher runs: local, or ray. $DISTILL_ENCODER, or local, when not given.
    """
    home = Home(default_home())
    home.check_writable()
    _ = home.store  # fails before any work when it can't be used
    forced = forced_stages(force)
    choose_encoder(encoder)
    if is_recipe_file(Path(name)):
        name = home.save_sweep(Path(name))
    members = [home.recipe(member) for member in _members(home, name)]
    try:
        problems = _run_all(home, members, forced, release=release)
    except KeyboardInterrupt:
        print("stopped; the same command goes on with what is missing", file=sys.stderr)
        sys.exit(130)
    print(f"\n{len(members) - len(problems)} of {len(members)} recipes finished: distill-pipeline compare {name}")
    for recipe, problem in problems.items():
        print(f"{recipe} failed: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)


@command
def compare(*names: str, output: str = "") -> None:
    """Compare finished recipes: a table, and a figure of agreement against size and speed.

    Args:
        names: Names of recipes, or of sweeps, which stand for their recipes.
        output: Folder for the table (JSON, CSV) and the figure; $DISTILL_HOME/comparison when not given.
    """
    from distill_pipeline.chain import comparison

    home = Home(default_home())
    if not names:
        raise UsageError("compare needs names of recipes or of a sweep; see distill-pipeline recipes")
    reports, absent = comparison.find_reports(home.store, home.recipes_named(names))
    if reports:
        found = comparison.compare(reports)
        folder = Path(output).expanduser() if output else home.root / "comparison"
        folder.mkdir(parents=True, exist_ok=True)
        comparison.write_comparison(folder, found)
        rows = table(*comparison.HEADER, right={*comparison.HEADER} - {"recipe", "best for"}, header=True)
        for cells in comparison.table_rows(found):
            rows.add_row(*cells)
        print(rendered(rows))
        print("", *found.notes, sep="\n")
    for recipe, why in absent.items():
        print(f"not compared: {recipe}: {why}", file=sys.stderr)
    if not reports:
        raise UsageError("none of these recipes has a quality report, so there is nothing to compare")
    print(folder.resolve() / comparison.FIGURE)


def _members(home: Home, name: str) -> Sequence[str]:
    sweeps = home.sweeps()
    if name in sweeps:
        return sweeps[name]
    if name in home.recipe_files():
        home.recipe(name)  # reports a mistake in a sweep
        raise UsageError(f"{name!r} is no sweep but one recipe: distill-pipeline run {name}")
    known = f" (sweeps: {', '.join(sorted(sweeps))})" if sweeps else "; no recipe file holds `sweep:`"
    raise UsageError(f"there is no sweep {name!r}{did_you_mean(name, sweeps)}{known}")


def _run_all(home: Home, members: Sequence[Recipe], forced: Sequence[str], *, release: bool) -> dict[str, str]:
    """Run the recipes one after another, print a line for each, and return what went wrong, by recipe."""
    problems: dict[str, str] = {}
    teacher_errors = _teacher_errors(home, members)
    width = max(len(recipe.name) for recipe in members)
    with running(home) as run_recipe:
        for number, recipe in enumerate(members, 1):
            print(f"--- {recipe.name} ({number} of {len(members)})", file=sys.stderr)
            started = time.monotonic()
            outcome = "failed"
            try:
                if error := teacher_errors.get(teacher_name(recipe)):
                    raise error
                if release:
                    check_release(home, recipe, forced, override_reason="")
                # Without a release, pictures would take longer than the figures that are compared.
                outcome = _run_one(partial(run_recipe, recipe, forced=forced, release=release, pictures=release))
            except (DistillError, OSError) as error:
                problems[recipe.name] = str(error)
            print(f"{recipe.name:<{width}}  {time.monotonic() - started:7.1f} s  {outcome}", flush=True)
    return problems


def _teacher_errors(home: Home, members: Sequence[Recipe]) -> dict[str, TeacherError]:
    """Return why each missing teacher can't be found; so a Hub that is down is waited for once, not per recipe."""
    from distill_pipeline.chain.teachers import find_teacher

    errors = {}
    for name, recipe in {teacher_name(recipe): recipe for recipe in members}.items():
        try:
            find_teacher(home, recipe)
        except TeacherError as error:
            errors[name] = error
    return errors


def _run_one(run: Callable[[], dg.ExecuteInProcessResult]) -> str:
    """Run one recipe, and return how many stages were computed.

    Raises:
        KeyboardInterrupt: Someone stopped the run.
        DistillError, OSError: The run failed.
    """
    import dagster as dg

    from distill_pipeline.cli.summary import explain_failure, interrupted, stage_metadata

    try:
        result = run()
    except dg.DagsterError as error:
        raise DistillError(str(error)) from error
    if interrupted(result):
        raise KeyboardInterrupt
    if not result.success:
        raise DistillError(explain_failure(result))
    stages = stage_metadata(result)
    return f"{sum(stage['cache'] == 'computed' for stage in stages.values())} of {len(stages)} stages computed"
