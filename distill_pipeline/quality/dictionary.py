"""A benchmark from the dictionary's held-out synsets, which no student is fitted to: five tasks on English."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import chain

import numpy as np

from distill_pipeline.quality.agreement import Encode
from distill_pipeline.quality.scores import (
    Labels,
    Places,
    Rows,
    Score,
    area_under_curve,
    cross_validated_accuracy,
    ndcg,
    v_measure,
)
from distill_pipeline.recipe.choices import DICTIONARY_KINDS
from distill_pipeline.store.embeddings import unit_rows
from distill_pipeline.store.environment import threads
from distill_pipeline.texts.dictionary import Synset, read_synsets

SET = "WordNet 3.0, held out"
VERSION = "1"
"""Changes whenever the tasks do."""

_LEAST, _MOST = 40, 90
"""Synsets of a lexicographer's file: one with fewer is left out, of more that many are taken, so that classes are of
much the same size."""


@dataclass(frozen=True, eq=False)
class Tasks:
    """The texts of the tasks and what is right.

    Attributes:
        definitions: One of each synset.
        classes: Each synset's lexicographer's file.
        words: The words and phrases of all synsets, each once.
        own_words: The places in `words` of each synset's.
        examples: Sentences.
        illustrated: The place of the definition that each example illustrates.
    """

    definitions: list[str]
    classes: Labels
    words: list[str]
    own_words: list[list[int]]
    examples: list[str]
    illustrated: Places

    @property
    def texts(self) -> list[str]:
        """All texts that a model reads."""
        return [*self.definitions, *self.words, *self.examples]


@lru_cache(maxsize=1)
def dictionary_tasks() -> Tasks:
    """Return the tasks. Raises `DictionaryError`."""
    synsets = read_synsets()
    fitted = {text for synset in synsets if not synset.held_out for text in (synset.definition, *synset.examples)}
    return make_tasks(choose_synsets(synsets, fitted), fitted)


def choose_synsets(synsets: Iterable[Synset], fitted: set[str], most: int = _MOST) -> list[Synset]:
    """Return up to `most` held-out synsets of each lexicographer's file that has enough, each with its own definition.

    `fitted` are texts of synsets that aren't held out.
    """
    by_file: dict[str, dict[str, Synset]] = defaultdict(dict)
    own = [synset for synset in synsets if synset.held_out and synset.definition not in fitted]
    for synset in sorted(own, key=lambda synset: blake2b(synset.key.encode(), digest_size=8).digest()):
        by_file[synset.category].setdefault(synset.definition, synset)
    return [synset for _, own in sorted(by_file.items()) if len(own) >= _LEAST for synset in list(own.values())[:most]]


def make_tasks(synsets: list[Synset], fitted: set[str]) -> Tasks:
    """Return the tasks on these synsets, without examples that are among the `fitted` texts."""
    words = list(dict.fromkeys(chain.from_iterable(synset.lemmas for synset in synsets)))
    place = {word: number for number, word in enumerate(words)}
    examples = {
        synset.examples[0]: number
        for number, synset in enumerate(synsets)
        if synset.examples and synset.examples[0] not in fitted
    }
    return Tasks(
        definitions=[synset.definition for synset in synsets],
        classes=np.array([synset.category for synset in synsets]),
        words=words,
        own_words=[[place[lemma] for lemma in synset.lemmas] for synset in synsets],
        examples=list(examples),
        illustrated=np.array(list(examples.values()), dtype=np.intp),
    )


def score_tasks(tasks: Tasks, encode: Encode) -> dict[str, Score]:
    """Return a model's score on each of `DICTIONARY_KINDS`; it reads each text once."""
    import sklearn.cluster  # noqa: F401 -- a limit holds for the libraries that are loaded by then
    from threadpoolctl import threadpool_limits

    rows = unit_rows(np.asarray(encode(tasks.texts))).astype(np.float32)
    definitions, words, examples = np.split(rows, np.cumsum([len(tasks.definitions), len(tasks.words)]))
    named = np.flatnonzero(np.char.startswith(tasks.classes, "noun") | np.char.startswith(tasks.classes, "verb"))
    scorers: list[Callable[[], Score]] = [
        lambda: cross_validated_accuracy(definitions[named], tasks.classes[named]),
        lambda: v_measure(definitions[named], tasks.classes[named]),
        lambda: ndcg(definitions, words, [dict.fromkeys(own, 1.0) for own in tasks.own_words]),
        lambda: ndcg(examples, definitions, [{int(place): 1.0} for place in tasks.illustrated]),
        lambda: _synonyms(words, tasks.own_words),
    ]

    def on_one_core(score: Callable[[], Score]) -> Score:
        with threadpool_limits(1, "openmp"):  # each thread has its own
            return score()

    # On matrices of this size several threads wait for each other: up to nine times the processor time was measured.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads()) as pool:
        return dict(zip(DICTIONARY_KINDS, pool.map(on_one_core, scorers), strict=True))


def _synonyms(words: Rows, own_words: list[list[int]]) -> Score:
    first, second = np.array([own[:2] for own in own_words if len(own) > 1]).T
    strangers = np.roll(second, len(second) // 2)
    return area_under_curve(*((words[first] * words[others]).sum(axis=1) for others in (second, strangers)))
