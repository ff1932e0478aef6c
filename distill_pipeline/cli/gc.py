"""Commands that keep the store in order."""

from __future__ import annotations

import sys

from fire.decorators import SetParseFn
from rich.filesize import decimal

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.cli.flags import truth


@SetParseFn(str)  # type: ignore[untyped-decorator]
def gc(*, delete: str = "false") -> None:
    """Show what of the store no recipe reaches, and remove it if told to. Releases are never touched.

    Args:
        delete: true to remove what is shown.
    """
    from distill_pipeline.chain.gc import look, reach, remove

    doing = truth("delete", delete)
    home = Home(default_home())
    findings = look(home.store, reach(home))
    for note in findings.notes:
        print(note, file=sys.stderr)
    gone = 0
    for leftover in findings.leftovers:
        if doing and not remove(home, leftover):
            print(f"kept after all, a run needs it: {leftover.stage} {leftover.name[:12]}", file=sys.stderr)
            continue
        gone += leftover.bytes
        print(f"{leftover.stage:<27} {leftover.name[:12]:<12}  {leftover.kind:<20} {decimal(leftover.bytes):>10}")
    print(
        f"{decimal(gone)} {'removed' if doing else 'would go; --delete true removes it'}; "
        f"{findings.kept_outputs} outputs stay, {decimal(findings.kept_bytes)}"
    )
