"""What a check found in a stored output, kept beside it: a check of the same bytes gives the same result.

The store hashes an output's files whenever it returns them, so reading every row again on each cache hit would
show nothing new. Only passed checks are kept, and only for the same bytes, check and libraries.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from distill_pipeline.store.disk import json_bytes, write_json
from distill_pipeline.store.environment import library_versions
from distill_pipeline.store.local import Store
from distill_pipeline.store.output import Output

Verdict = tuple[bool, Mapping[str, Any]]
"""Whether a check passed, and JSON values that say more."""


def cached_verdict(store: Store, output: Output, check: str, examine: Callable[[], Verdict]) -> Verdict:
    """Return the verdict that was kept for a verified output; otherwise examine it, and keep the verdict if it passed.

    `check` is the check's name and version.
    """
    path = store.verdict(output.key)
    about = {"check": check, "files": output.manifest["files"], "facts": output.manifest["facts"]}
    digest = hashlib.sha256(json_bytes({**about, "versions": library_versions()})).hexdigest()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["about"] == digest:
            return True, {**kept["found"], "examined": "earlier, for the same files and libraries"}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    passed, found = examine()
    if passed:
        with suppress(OSError):  # a verdict that can't be kept is only examined again
            write_json(path, {"about": digest, "found": dict(found)})
    return passed, {**found, "examined": "now"}
