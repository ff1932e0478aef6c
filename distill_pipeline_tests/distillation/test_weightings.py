"""What a weighting's module must be, and what its weights must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distill_pipeline.distillation import weightings as package
from distill_pipeline.distillation.weightings import WeightingError, row_weights, weightings

PROBABILITIES = np.array([0.5, 0.25, 1e-6])
HEAD = "import numpy as np\nfrom distill_pipeline.distillation.weightings import Weighting\n"


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules are weightings too."""
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(package, "weightings", weightings.__wrapped__)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "formula", "said"),
    [
        ("undefined", "p * float('nan')", "gives nan for probability 0.5, and 3 such rows"),
        ("negative", "0.3 - p", "gives -0.2 for probability 0.5, and 1 such rows"),
        ("longer", "np.append(p, 1)", r"gives weights \(4,\) for rows \(3,\)"),
    ],
)
def test_weights_that_are_no_weights_are_refused_by_name(added: Path, name: str, formula: str, said: str) -> None:
    (added / f"{name}.py").write_text(f"{HEAD}WEIGHTING = Weighting('bad', lambda p: {formula})\n", encoding="utf-8")
    with pytest.raises(WeightingError, match=f"weighting {name} {said}"):
        row_weights(name, PROBABILITIES, {})


def test_a_module_without_a_weighting_is_named(added: Path) -> None:
    (added / "nothing_inside.py").write_text("", encoding="utf-8")
    with pytest.raises(WeightingError, match=r"nothing_inside\.py has no WEIGHTING"):
        package.weightings()


def test_every_shipped_weighting_falls_with_the_probability() -> None:
    for name in ("frequency", "none"):
        weights = row_weights(name, PROBABILITIES, {"sif_coefficient": 1e-3} if name == "frequency" else {})
        assert (np.diff(weights) >= 0).all()
