"""Commands that keep the store in order."""

import sys

from rich.filesize import decimal

from distill_pipeline.chain.gc import find_leftovers
from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.cli.flags import command
from distill_pipeline.cli.tables import rendered, table


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
