"""A teacher's tokenizer from its files, and how much of a text the teacher reads."""

from pathlib import Path
from typing import Any

from distill_pipeline.errors import TeacherError
from distill_pipeline.teacher.layout import read_json, settings, transformer_folder

MAX_TOKENS = 256

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


def max_tokens(folder: Path, loaded: Any) -> int:
    """Return how many tokens of a text the teacher reads, special ones included: 256, or fewer if it takes fewer."""
    config = read_json(transformer_folder(folder) / "config.json")
    limits = [loaded.model_max_length, settings(folder).get("max_seq_length"), config.get("max_position_embeddings")]
    return min([MAX_TOKENS, *(int(limit) for limit in limits if limit and limit > 0)])
