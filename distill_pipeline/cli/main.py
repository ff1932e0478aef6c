"""The command line: a thin layer over the same assets that the UI and the schedule run."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import fire
from rich.filesize import decimal

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.cli.flags import (
    HELP,
    STDIN,
    check_command_line,
    command,
    recipe_fields,
    with_recipe_flags,
    with_truths,
)
from distill_pipeline.cli.gc import gc
from distill_pipeline.cli.release import rollback, verify
from distill_pipeline.cli.running import check_recipe, check_release, forced_stages, prepare_dagster, running
from distill_pipeline.cli.student import encode, search
from distill_pipeline.cli.sweep import compare, sweep
from distill_pipeline.cli.tables import rendered, table
from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.teacher.backends import choose_encoder


@command
def run(recipe: str, force: str = "", *, dry_run: bool = False, override_reason: str = "", encoder: str = "") -> None:
    """Run the whole chain for a recipe; stages whose output is in the store are not computed again.

    Args:
        recipe: Name of a recipe; see `distill-pipeline recipes`.
        force: Stages to compute in any case, separated by commas, or all.
        dry_run: Show the release's files and how they differ from the current release, without releasing.
        override_reason: Why to release a student that the gate would refuse; the card shows it.
        encoder: Where the teacher runs: local, or ray. $DISTILL_ENCODER, or local, when not given.
    """
    home = _usable_home()
    choose_encoder(encoder)
    wanted, forced = home.recipe(recipe), forced_stages(force)
    check_release(home, wanted, forced, override_reason, sending=not dry_run)
    _execute(home, wanted, forced, override_reason, release=not dry_run)
    if dry_run:
        print(_preview(home, wanted, override_reason))


@with_recipe_flags
def distill(
    force: str = "", name: str = "", encoder: str = "", overwrite: bool = False, override_reason: str = "", **flags: str
) -> None:
    """Distil any teacher, and save the settings as a recipe, which becomes a partition in the UI.

    Args:
        force: Stages to compute in any case, separated by commas, or all.
        name: Name of the recipe to save; made from the repository's or the teacher's name when not given.
        encoder: Where the teacher runs: local, or ray. $DISTILL_ENCODER, or local, when not given.
        overwrite: Replace a recipe of this name that has other settings.
        override_reason: Why to release a student that the gate would refuse; the card shows it.
    """
    home = _usable_home()
    recipe = make_recipe({**recipe_fields(flags), "name": name}, source="command line")
    stages = forced_stages(force)
    choose_encoder(encoder)
    check_recipe(home, recipe)
    if not overwrite:
        home.check_settings_stay(recipe)
    check_release(home, recipe, stages, override_reason)
    path = home.save_recipe(recipe)
    print(f"recipe saved: {path}", file=sys.stderr)
    _execute(home, recipe, stages, override_reason)


@command
def plan(recipe: str = "") -> None:
    """Show for each stage of a recipe whether it is fresh, stale or missing, and why.

    Args:
        recipe: Name of a recipe, or of a sweep, whose recipes are shown in short. All recipes when not given.
    """
    from distill_pipeline.chain.plan import pending, plan_stages
    from distill_pipeline.teacher.check import check_teacher

    home = Home(default_home())
    if not recipe:
        valid, problems = home.load_recipes()
        _print_plans(home, valid.values(), problems)
        return
    if recipe in home.sweeps():
        _print_plans(home, home.recipes_named([recipe]))
        return
    wanted = home.recipe(recipe)
    source = find_teacher(home, wanted)
    planned = plan_stages(home.store, wanted.name, stage_keys(wanted, source.identity))
    notes = [source.note, *(_release_notes(home, wanted) if pending(planned) else ())]
    if source.local_folder is not None:  # a plan downloads nothing
        notes.append(source.prompts_note(wanted.prompt))
        if pending(planned):
            check_teacher(source, wanted)
    stages = table("stage", "state", "why")
    for stage in planned:
        stages.add_row(stage.stage, stage.state, stage.why)
    print(rendered(stages))
    for note in filter(None, notes):
        print(note, file=sys.stderr)


def _release_notes(home: Home, recipe: Recipe) -> list[str]:
    """Return what would hinder a recipe's release, and what its owner should know of where it goes."""
    from distill_pipeline.release.destination import look_ahead

    try:
        found, notes = look_ahead(recipe, find_teacher(home, recipe), home.releases / recipe.name)
    except DistillError as error:
        return [f"the release will fail: {error}"]
    return [*(f"the release will be refused: {line}" for line in found), *notes]


def _print_plans(home: Home, wanted: Iterable[Recipe], problems: Sequence[str] = ()) -> None:
    from distill_pipeline.chain.plan import plan_recipes

    plans = table("recipe", "state", "why")
    for planned in plan_recipes(home, wanted):
        plans.add_row(planned.recipe, planned.state, planned.why)
    print(rendered(plans))
    _print_left_out(problems)


def _print_left_out(problems: Sequence[str]) -> None:
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)


def recipes() -> None:
    """List the recipes, the shipped ones and those of this installation, with what each keeps in the store."""
    from distill_pipeline.chain.gc import Address, sizes
    from distill_pipeline.store.disk import size_of

    home = Home(default_home())
    valid, problems = home.load_recipes()
    listed = table("recipe", "about")
    together: dict[Address, int] = {}
    for name, recipe in sorted(valid.items()):
        kept = sizes(home.local_store, name)
        together |= kept
        about = f"{recipe.teacher_label}, {recipe.pca_dims} dims"
        if (home.releases / name).is_dir():
            about += ", released"
        if kept:
            by_stage: Counter[str] = Counter()
            for (stage, _), size in kept.items():
                by_stage[stage] += size  # of the recipe, and of what it is compared with
            parts = ", ".join(f"{stage} {decimal(size)}" for stage, size in by_stage.items())
            about += f"\n{decimal(by_stage.total())}: {parts}"
        listed.add_row(name, about)
    print(rendered(listed, ""))
    print(
        f"all recipes together {decimal(sum(together.values()))}, what they share counted once; "
        f"the store holds {decimal(size_of(home.local_store.root))} (distill-pipeline gc shows what can go)"
    )
    _print_left_out(problems)


def init() -> None:
    """Prepare $DAGSTER_HOME for `dagster dev` or a deployment: settings, tables, the pools' limits."""
    prepare_dagster(Home(default_home()))


COMMANDS = {
    function.__name__: function
    for function in (run, distill, plan, recipes, gc, init, sweep, compare, search, encode, verify, rollback)
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; errors written for people end the process with status 2 and one message."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    os.environ.setdefault("PAGER", "cat")
    try:
        arguments = with_truths(COMMANDS, arguments)
        check_command_line(COMMANDS, arguments)
        if HELP & set(arguments[1:]):  # alone: otherwise fire may take it for a value
            arguments = [arguments[0], "--help"]
        if STDIN in arguments:  # for fire a lone "-" ends a call, unless something else does
            arguments += ["--", "--separator=\N{SYMBOL FOR UNIT SEPARATOR}"]
        fire.Fire(COMMANDS, command=arguments, name="distill-pipeline")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as in `| head`
        # Otherwise Python's last flush would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (DistillError, OSError) as error:  # OSError: a full disk, a folder of somebody else's
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)


def _usable_home() -> Home:
    """Return the home, after checking that it and its store can be used. Raises `HomeError`, `RemoteError`."""
    home = Home(default_home())
    home.check_writable()
    _ = home.store
    return home


def _preview(home: Home, recipe: Recipe, override_reason: str) -> str:
    from distill_pipeline.release.ingredients import gather
    from distill_pipeline.release.release import preview

    ingredients = gather(home.store, recipe, find_teacher(home, recipe))
    return preview(ingredients, home.releases / recipe.name, override_reason=override_reason)


def _execute(
    home: Home, recipe: Recipe, forced: Sequence[str], override_reason: str = "", *, release: bool = True
) -> None:
    """Run the job for one recipe in this process and print its summary."""
    from distill_pipeline.cli.summary import explain_failure, summarise

    with running(home) as run_recipe:
        result = run_recipe(recipe, forced=forced, override_reason=override_reason, release=release)
    if not result.success:
        print(explain_failure(result), file=sys.stderr)
        sys.exit(1)
    print(rendered(summarise(result), ""))
    if release:
        print(home.releases / recipe.name)
