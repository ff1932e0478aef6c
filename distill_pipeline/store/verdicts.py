"""What a check found in a stored output, kept beside it: the same bytes give the same verdict.

A reader hashes an output's files whenever it asks for them, so going through every row again on each run of cache
hits would tell nothing new. Only what passed is kept, and only for these bytes, this check and these libraries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from distill_pipeline.store.disk import as_json, write_json
from distill_pipeline.store.environment import library_versions
from distill_pipeline.store.local import Store
from distill_pipeline.store.output import Output

Verdict = tuple[bool, Mapping[str, Any]]


def cached_verdict(store: Store, output: Output, check: str, examine: Callable[[], Verdict]) -> Verdict:
    """Return the verdict that was kept for an output, or examine it and keep the verdict if it passed.

    Args:
        store: Where the output is.
        output: As the store returned it, so with its files' hashes verified.
        check: Name and version of the check.
        examine: Reads the output; returns whether it passed, and JSON values that say more.
    """
    path = store.verdict(output.key)
    read = {name: output.manifest[name] for name in ("files", "facts")}
    about = as_json({"check": check, **read, "versions": library_versions()})
    mark = hashlib.sha256(about).hexdigest()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["about"] == mark:
            return True, {**kept["found"], "examined": "earlier, for the same files and libraries"}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    passed, found = examine()
    if passed:
        with suppress(OSError):  # whether it is kept or not, it passed
            write_json(path, {"about": mark, "found": dict(found)})
    return passed, {**found, "examined": "now"}
