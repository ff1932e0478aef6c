"""An output's address in the store: the fingerprint of everything it is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StageKey:
    """An output's address in the store, and the inputs that it is made of."""

    stage: str
    fingerprint: str
    inputs: Mapping[str, Any]

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> StageKey:
        """Return the key of these inputs, which name their stage."""
        return cls(inputs["stage"], fingerprint(inputs), inputs)

    @property
    def record(self) -> Mapping[str, Any]:
        """What the store records of a recipe's stage."""
        return {"fingerprint": self.fingerprint, "made_of": self.inputs}


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """Return the sha256 (64 hexadecimal digits) of the inputs' canonical JSON."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def recorded(record: object, stage: str) -> Mapping[str, Any] | None:
    """Return the inputs that a stage's record holds, or None if it was changed or is no record of the stage."""
    if not isinstance(record, dict) or not isinstance(inputs := record.get("made_of"), dict):
        return None
    return inputs if inputs.get("stage") == stage and fingerprint(inputs) == record.get("fingerprint") else None


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return each difference between the inputs of two outputs, e.g. `pca_dims: 256 -> 128`."""
    old, new = before.get("code_version"), after.get("code_version")
    found = [] if old == new else [f"code version: {old} -> {new}"]
    for group, label in (("recipe", ""), ("teacher", "teacher "), ("upstream", "upstream ")):
        old, new = before.get(group, {}), after.get(group, {})
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                values = "" if group == "upstream" else f": {old.get(name)} -> {new.get(name)}"
                found.append(f"{label}{name}{values}")
    return found
