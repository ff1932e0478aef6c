"""A teacher's tokenizer from its files, and how much of a text the teacher reads."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill_pipeline.errors import TeacherError
from distill_pipeline.teacher.layout import read_json, settings, transformer_folder

MAX_TOKENS = 256

UNUSED = re.compile(r"\[unused\d+\]")
"""Matches the start of placeholder tokens in BERT's vocabularies, which are no text."""

_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


def load_tokenizer(folder: Path) -> Any:
    """Return a teacher's fast tokenizer as sentence_transformers uses it: with tokens that `tokenizer.json` lacks, and
    lower-casing if the teacher's settings say so.

    Never runs the teacher's own code, even if the recipe trusts it: a fast tokenizer is data.

    Raises:
        TeacherError: The teacher has no fast tokenizer, nor one that can be converted.
    """
    from tokenizers.normalizers import Lowercase, Sequence

    place = transformer_folder(folder)
    refused = TeacherError(
        f"{place} holds no tokenizer.json, and no vocabulary that transformers makes a fast tokenizer of; only "
        "teachers with one can be distilled: AutoTokenizer.from_pretrained(folder).save_pretrained(folder) may help"
    )
    if not any(any(place.glob(name)) for name in _VOCABULARIES):
        raise refused
    try:
        loaded = _load(place)
    except Exception as error:  # the libraries' failures on damaged files have no common class
        if not (place / "tokenizer.json").is_file():
            raise refused from error
        raise TeacherError(f"{place}: its tokenizer can't be read ({type(error).__name__}: {error})"[:300]) from error
    if not loaded.is_fast:
        raise refused
    tokenizer = loaded.backend_tokenizer
    lowers = tokenizer.normalizer is not None and tokenizer.normalizer.normalize_str("Ab") == "ab"
    if settings(folder).get("do_lower_case") and not lowers:
        tokenizer.normalizer = Sequence([Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])])
    return loaded


def _load(place: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        return AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False)
    except ValueError:  # the architecture or the tokenizer's class is the teacher's own code
        return PreTrainedTokenizerFast.from_pretrained(place, local_files_only=True, trust_remote_code=False)


def max_tokens(folder: Path, loaded: Any, *, whole: bool = False) -> int:
    """Return how many tokens of a text the teacher reads, special ones included.

    256, or fewer if it takes fewer; of `whole` texts as many as it takes.
    """
    config = read_json(transformer_folder(folder) / "config.json")
    limits = [loaded.model_max_length, settings(folder).get("max_seq_length"), config.get("max_position_embeddings")]
    own = [int(limit) for limit in limits if limit and limit > 0]
    return min(own, default=MAX_TOKENS) if whole else min([MAX_TOKENS, *own])


class TeacherTokenizer:
    """A teacher's tokenizer, which puts its special tokens and the prompt around each entry.

    Attributes:
        model: The tokenizer as skeletoken changes it.
        tokenizer: The same as `tokenizers` runs it.
        unknown: The id for what it doesn't know, if it has one.
    """

    def __init__(self, folder: Path, prompt: str | None) -> None:
        from skeletoken import TokenizerModel

        # They log each token that an added or removed word affects: thousands of lines.
        for library in ("skeletoken", "model2vec"):
            logging.getLogger(library).setLevel(logging.ERROR)
        loaded = load_tokenizer(folder)
        self.model = TokenizerModel.from_transformers_tokenizer(loaded)
        self.tokenizer = loaded.backend_tokenizer
        self.tokenizer.no_padding()
        prompt_ids = self.tokenizer.encode(prompt.rstrip(), add_special_tokens=False).ids if prompt else []
        self._before, self._after = [*(self.model.bos_ids or []), *prompt_ids], list(self.model.eos_ids or [])
        self.unknown: int | None = loaded.unk_token_id
        # SentencePiece's own normalizer puts a space before each text, so that another one would be read.
        normalizer = self.tokenizer.normalizer
        self._space = "" if normalizer and normalizer.normalize_str(" a").startswith("▁▁") else " "
        self._no_text = {self.unknown, self.tokenizer.token_to_id("▁")}  # Unigram puts this before what is unknown
        self._room = max(1, max_tokens(folder, loaded) - len(self._before) - len(self._after))

    @property
    def special(self) -> frozenset[str]:
        """Tokens that are no text: special and unused ones."""
        added = {token.content for token in self.model.added_tokens.root if token.special}
        unused = {token for token in self.tokenizer.get_vocab() if UNUSED.fullmatch(token)}
        return frozenset(added | unused)

    def framed(self, ids: Sequence[int]) -> list[int]:
        """Return an entry's ids with those that the teacher reads before and after it."""
        return [*self._before, *ids, *self._after]

    def read(self, texts: Sequence[str], *, after_space: bool = False) -> list[list[int]]:
        """Return the ids that the teacher reads for texts, cut to the length that it takes.

        `after_space`: as they stand within a sentence.
        """
        space = self._space if after_space else ""
        encodings = self.tokenizer.encode_batch_fast([f"{space}{text}" for text in texts], add_special_tokens=False)
        return [self.framed(encoding.ids[: self._room]) for encoding in encodings]

    def knows(self, ids: Sequence[int]) -> bool:
        """Whether what `framed` returned holds more than unknown tokens."""
        return not self._no_text.issuperset(ids[len(self._before) : len(ids) - len(self._after)])
