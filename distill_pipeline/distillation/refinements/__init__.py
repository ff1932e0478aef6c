"""Which texts the rows are fitted to, and how: one module per refinement, named as recipes name it.

Every module of this package holds one `REFINEMENT`; adding a module adds a refinement, see docs/extending.md. A
recipe's `refinement: none` is none of them. Modules import nothing heavy before their functions are called.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from distill_pipeline.recipe import Recipe


FEWEST_TEXTS = 100
"""A refinement needs so many: some are held out to measure the agreement on, and a few would say nothing."""


@dataclass(frozen=True)
class Refinement:
    """One way to refine.

    Attributes:
        description: A few words for the recipe's reference.
        texts: Returns a recipe's texts, in groups of one kind.
        reads: Returns the fields of the recipe that `texts` reads. They become part of the stage's fingerprint.
        check: Raises `ValueError`, with what to do, for a recipe whose fields don't fit.
        fit: Fits the rows, called as `refine_rows` is, which is the default.
        balanced: Whether the first group's texts and all others together count alike in the fit, however many they are.
        weighting: What the recipe's `weighting: auto` stands for, and so on for the further fields:
        generated_texts: How many.
        refinement_penalty: auto is the one that agrees best on held-out texts.
        similarity_steps: How many.
        whitening: From 0 to 1.
    """

    description: str
    texts: Callable[[Recipe], list[list[str]]]
    reads: Callable[[Recipe], tuple[str, ...]]
    check: Callable[[Recipe], None] = lambda _: None
    fit: Callable[..., dict[str, Any]] | None = None
    balanced: bool = False
    weighting: str = "fitted"
    generated_texts: int = 45_000
    refinement_penalty: float | Literal["auto"] = "auto"
    similarity_steps: int = 60
    whitening: float = 0.3


@cache
def refinements() -> Mapping[str, Refinement]:
    """Return every refinement by its name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").REFINEMENT for name in names}
