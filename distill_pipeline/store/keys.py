"""An output's address in the store: the fingerprint of all that it was made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StageKey:
    """A stage's address in the store, and all that it was made of."""

    stage: str
    fingerprint: str
    inputs: Mapping[str, Any]

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> StageKey:
        """Return the key of the output of these inputs, which name their stage."""
        return cls(inputs["stage"], fingerprint(inputs), inputs)


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """Return the sha256 (64 hexadecimal digits) of the inputs' canonical JSON."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Name each input that differs, e.g. `pca_dims: 256 -> 128` or `upstream student_matrix`.

    Args:
        before: `StageKey.inputs` of an earlier output.
        after: Those of the wanted one.
    """
    found = []
    if before.get("code_version") != after.get("code_version"):
        found.append(f"code version: {before.get('code_version')} -> {after.get('code_version')}")
    for group, label in (("recipe", ""), ("teacher", "teacher ")):
        old, new = before.get(group, {}), after.get(group, {})
        found += [
            f"{label}{field}: {old.get(field)} -> {new.get(field)}"
            for field in sorted({*old, *new})
            if old.get(field) != new.get(field)
        ]
    old, new = before.get("upstream", {}), after.get("upstream", {})
    found += [f"upstream {name}" for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return found
