"""What outputs are made with: the installed libraries, the kind of machine, and its cores."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from functools import cache

_RECORDED_LIBRARIES = (
    "dagster", "matplotlib", "model2vec", "numpy", "pyarrow", "scipy", "sentence-transformers", "symspellpy",
    "tokenizers", "torch", "transformers", "wordfreq",
)  # fmt: skip


@cache
def library_versions() -> Mapping[str, str]:
    """Return the installed versions of the libraries that outputs depend on."""
    return {name: importlib.metadata.version(name) for name in _RECORDED_LIBRARIES}


def machine() -> str:
    """Return what kind of machine this is, never its name."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def threads() -> int:
    """Return `$OMP_NUM_THREADS`, or how many cores this process may use."""
    try:
        return max(int(os.environ["OMP_NUM_THREADS"]), 1)
    except (KeyError, ValueError):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
