"""Texts made of the dictionary's synsets: definitions after the words that they define, and examples."""

import numpy as np

from distill_pipeline.texts.dictionary import Synset, read_synsets

_LEMMAS = 3
"""Of a synset, at most, stand before its definition."""
_SHORT = 14
"""Words. A text's cost grows with its words, and what it teaches hardly does."""
_CAPITALISED, _STOPPED = 0.7, 0.5
"""Shares of the texts that begin with a capital, and that end with a full stop: a dictionary's do neither."""


def fitted_synsets() -> list[Synset]:
    """Return the synsets that a student may be fitted to. Raises `DictionaryError` as `read_synsets` does."""
    return [synset for synset in read_synsets() if not synset.held_out]


def dictionary_texts(count: int, *, seed: int) -> tuple[list[str], list[str]]:
    """Return definitions with their lemmas, and examples: `count` together, or all, the same for the same arguments.

    They are drawn from the short ones first.

    Raises:
        DictionaryError: As `read_synsets` does.
    """
    random, synsets = np.random.default_rng(seed), fitted_synsets()
    examples = [example for synset in synsets for example in synset.examples]
    places = (random.random(len(synsets)) * [len(synset.lemmas) for synset in synsets]).astype(int)
    definitions = [
        f"{', '.join((synset.lemmas[place:] + synset.lemmas[:place])[:_LEMMAS])}: {synset.definition}"
        for synset, place in zip(synsets, places.tolist(), strict=True)
    ]
    total = len(definitions) + len(examples)
    capital, stop = (random.random((2, total)) < [[_CAPITALISED], [_STOPPED]]).tolist()
    texts = list(map(_styled, [*definitions, *examples], capital, stop))
    order = random.permutation(total)
    is_long = np.array([len(text.split()) > _SHORT for text in texts])
    chosen = np.sort(order[np.argsort(is_long[order], kind="stable")][:count])
    first = int(np.searchsorted(chosen, len(definitions)))
    return [texts[i] for i in chosen[:first]], [texts[i] for i in chosen[first:]]


def _styled(text: str, capital: bool, stop: bool) -> str:
    text = text[0].upper() + text[1:] if capital else text
    return f"{text}." if stop and text[-1].isalnum() else text
