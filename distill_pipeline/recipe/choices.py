"""What a recipe may choose among: names, descriptions, and what `auto` stands for. Plain data that imports nothing.

The functions behind the names are tables too: of weightings in `fitting/weightings.py`, of refinements in
`texts/refinements.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MIN_REFINEMENT_TEXTS = 100
"""A refinement needs so many: some are held out to measure the agreement on, and a few would say nothing."""

WEIGHTINGS: Mapping[str, str] = {
    "fitted": "a curve over frequency fitted to the refinement's texts",
    "frequency": "a / (a + p), p from real word frequencies",
    "none": "all entries alike",
    "zipf": "a / (a + p), p by Zipf's law from the row's rank",
}
"""How much each vocabulary entry counts in a text's mean."""


@dataclass(frozen=True)
class Refinement:
    """One kind of texts that the rows are fitted to.

    Attributes:
        description: A few words for the recipe's reference.
        generated_texts: What the recipe's `generated_texts: auto` stands for.
    """

    description: str
    generated_texts: int


REFINEMENTS: Mapping[str, Refinement] = {
    # Four times as many generated texts as without a corpus bring the similarities of other texts closer to the
    # teacher's, for half as much again of its time.
    "corpus": Refinement("passages of a corpus, and generated ones besides", generated_texts=180_000),
    "generated": Refinement("generated from frequencies of words and word pairs", generated_texts=45_000),
}

WHITENING = 0.3
"""What `whitening: auto` stands for: retrieval wins what word similarity doesn't lose yet."""


def describe(choices: Mapping[str, str | Refinement]) -> str:
    """Return the names with what they mean, for a field's description."""
    texts = {name: choice if isinstance(choice, str) else choice.description for name, choice in choices.items()}
    return "; ".join(f"{name} = {text}" for name, text in texts.items())
