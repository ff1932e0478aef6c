"""Commands that keep the store in order."""

import sys
from collections.abc import Collection

from rich.filesize import decimal

from distill_pipeline.chain.gc import find_leftovers
from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.chain.stages import RELEASE
from distill_pipeline.cli.flags import command
from distill_pipeline.cli.tables import rendered, table
from distill_pipeline.store.keys import StageKey


@command
def gc(*, delete: bool = False) -> None:
    """Show outputs in the store that no recipe needs, and what killed runs left, and remove them if told to.

    Releases are never touched. Nothing is removed while a recipe that was run here, or its teacher, can't be read.

    Args:
        delete: true to remove what is shown.
    """
    from distill_pipeline.chain.gc import remove

    home = Home(default_home())
    findings = find_leftovers(home)
    if findings.obstacles:
        print(*findings.obstacles, "nothing can be removed because of this", sep="\n", file=sys.stderr)
        sys.exit(1 if delete else 0)
    freed = 0
    shown = table("stage", "output", "kind", "size", right={"size"})
    for leftover in findings.leftovers:
        if delete and not remove(home, leftover):
            print(f"kept, since a run needs it now: {leftover.stage} {leftover.name[:12]}", file=sys.stderr)
            continue
        freed += leftover.bytes
        shown.add_row(leftover.stage, leftover.name[:12], leftover.kind, decimal(leftover.bytes))
    if shown.rows:
        print(rendered(shown))
    print(
        f"{decimal(freed)} {'removed' if delete else 'would go; --delete true removes it'}; "
        f"{findings.kept_outputs} outputs stay, {decimal(findings.kept_bytes)}"
    )


def verify_store(*, repair: bool) -> None:
    """Print what is damaged in the store and what became of it; end with status 1 if something stays damaged."""
    from distill_pipeline.chain.repair import damage, discard, fetched, stored_keys

    home = Home(default_home())
    store, keys = home.store, stored_keys(home.store)
    damaged = []
    for key in keys:
        if problem := damage(store, key):
            damaged.append(key)
            print(f"damaged: {problem}")
    print(f"{len(keys)} outputs: {len(keys) - len(damaged)} as they were made, {len(damaged)} damaged")
    if not damaged:
        return
    if not repair:
        print("--repair fetches or makes them again", file=sys.stderr)
        sys.exit(1)
    missing = [key for key in damaged if not fetched(store, key)]
    failed = _run_recipes_that_make(home, missing)
    for key in damaged:
        name = f"{key.stage} {key.fingerprint[:12]}"
        if key not in missing:
            print(f"fetched: {name}")
        elif not damage(store, key):
            print(f"made again: {name}")
        elif not failed:
            discard(store, key)
            print(f"removed, since no recipe leads to it now: {name}")
    if failed:
        sys.exit(1)


def _run_recipes_that_make(home: Home, keys: Collection[StageKey]) -> bool:
    """Run what makes these outputs again; return whether a run failed or a recipe couldn't be asked."""
    from distill_pipeline.chain.repair import recipes_that_make
    from distill_pipeline.cli.running import running
    from distill_pipeline.cli.summary import explain_failure

    wanted, problems = recipes_that_make(home, keys) if keys else ([], [])
    if wanted:
        with running(home) as run:
            results = [run(recipe, release=RELEASE in stages) for recipe, stages in wanted]
        problems += [explain_failure(result) for result in results if not result.success]
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)
