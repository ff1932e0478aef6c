"""Commands about published releases: verify one, or go back to one."""

import sys
from pathlib import Path

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.cli.flags import UsageError, command
from distill_pipeline.cli.gc import verify_store


@command
def verify(release: str = "", revision: str = "", *, store: bool = False, repair: bool = False) -> None:
    """Verify a release: the digest of each file, its evidence, and its golden vectors. Or all stored outputs.

    Args:
        release: A folder, the name of a recipe released here, or a Hub repository (owner/name).
        revision: Tag, branch or commit of a repository; main when not given.
        store: true to verify each output in the store of this machine, instead of a release.
        repair: true to fetch the damaged ones from the shared store, or to make them again.
    """
    if store == bool(release):
        raise UsageError("verify takes either a release or --store; see distill-pipeline verify --help")
    if repair and not store:
        raise UsageError("--repair goes with --store; a release is repaired by distill-pipeline run NAME")
    if store:
        verify_store(repair=repair)
        return
    from distill_pipeline.release.verify import fetched
    from distill_pipeline.release.verify import verify as verify_folder

    local = (Path(release).expanduser(), Home(default_home()).releases / release)
    folder = next((path for path in local if path.is_dir()), None)
    if folder is not None:
        checked, place = verify_folder(folder), str(folder)
    else:
        with fetched(release, revision or None) as (copy, commit):
            checked, place = verify_folder(copy), f"{release} at {commit}"
    print(f"{place}: as released")
    print(f"files     {checked.files} have the sha256 that provenance.json gives")
    print(f"golden    largest difference {checked.golden_difference:.2g}")
    for name in checked.others:
        print(f"extra     {name} is not part of the release")
    for name, distance in checked.variants.items():
        print(f"{name:<9} largest distance (1 - cosine) {distance:.2g}")


@command
def rollback(repository: str, to: str, branch: str = "") -> None:
    """Verify an earlier release of a repository, and commit its files again.

    Args:
        repository: Hub repository (owner/name).
        to: Tag (or commit) of the earlier release.
        branch: Branch to change; main when not given.
    """
    from distill_pipeline.release.rollback import rollback as roll_back

    commit = roll_back(repository, to, branch=branch or None, log=lambda line: print(line, file=sys.stderr))
    print(f"{'rolled back' if commit.created else 'already there'}: {commit.url}")
