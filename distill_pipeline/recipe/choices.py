"""What a recipe may choose among, as plain data: names, descriptions, and what `auto` stands for.

The functions behind the names are in `fitting/weightings.py` and `texts/refinements.py`.
"""

from collections.abc import Mapping
from typing import Any

WEIGHTINGS: Mapping[str, str] = {
    "fitted": "a curve over frequency fitted to the refinement's texts",
    "frequency": "a / (a + p), p from real word frequencies",
    "none": "all entries alike",
    "zipf": "a / (a + p), p by Zipf's law from the row's rank",
}
"""How much each vocabulary entry counts in a text's mean."""

REFINEMENTS: Mapping[str, str] = {
    "corpus": "passages of a corpus, plus generated texts and, in English, the dictionary's",
    "dictionary": "WordNet's definitions and examples (English)",
    "generated": "texts generated from frequencies of words and word pairs",
}
"""Texts that the rows are fitted to."""

DICTIONARY = "dictionary"
"""The labelled set of the dictionary's held-out synsets: one task of each of these kinds."""

DICTIONARY_KINDS: Mapping[str, str] = {
    "class of a definition": "accuracy of a ridge classifier on the lexicographers' files of nouns and verbs",
    "clusters of definitions": "V-measure of k-means against the same files",
    "definition to word": "nDCG@10 of a definition's words among all words",
    "example to definition": "nDCG@10 of the definition that an example illustrates among all definitions",
    "synonyms": "area under the ROC curve: words of one meaning against random pairs of words",
}
"""The dictionary's tasks, each a kind of labelled set by itself, and their scores."""

# Whitening improves retrieval; up to 0.3, word similarity doesn't suffer.
_FITTED: Mapping[str, Any] = {"weighting": "fitted", "whitening": 0.3, "generated_texts": 45_000}

AUTO: Mapping[str, Mapping[str, Any]] = {
    "none": {"weighting": "frequency"},
    "generated": _FITTED,
    # More change no score, but bring the similarities of texts unlike definitions a little closer to the teacher's.
    "dictionary": {**_FITTED, "generated_texts": 9_000},
    "corpus and dictionary": _FITTED,
    # Four times as many texts bring the similarities of other texts closer to the teacher's, and the teacher runs for
    # half as long again.
    "corpus": {**_FITTED, "generated_texts": 180_000},
}
"""What a field's `auto` stands for, by refinement; the teacher or the data decides for fields that aren't listed."""

MIN_REFINEMENT_TEXTS = 100
"""Some texts are held out to measure the agreement; fewer than this would measure nothing."""


def describe(choices: Mapping[str, str]) -> str:
    """Return the names with their descriptions, for a field's description."""
    return "; ".join(f"{name} = {text}" for name, text in choices.items())
