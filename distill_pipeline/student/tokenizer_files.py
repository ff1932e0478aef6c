"""The tokenizer's files as runtimes other than model2vec look for them, beside `tokenizer.json`."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from distill_pipeline.store.disk import write_json


def write_tokenizer_files(folder: Path, tokenizer: Tokenizer, *, unknown: int | None, max_length: int) -> int:
    """Write `tokenizer_config.json` and `special_tokens_map.json`, and return the id that pads.

    transformers.js and FastEmbed need both in a model's root. Masks hide what pads, so any token would do; of a
    tokenizer without one for it, the unknown or a special one is taken.
    """
    special = {token.content: row for row, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    named = [token for token in special if "pad" in token.lower()]
    unknown_token = None if unknown is None else tokenizer.id_to_token(unknown)
    padding = next(filter(None, [*named, unknown_token, *special, tokenizer.id_to_token(0)]))
    tokens = {"unk_token": unknown_token, "pad_token": padding if padding in special else None}
    # What is named here becomes special in some runtimes: an ordinary entry would then be found within words.
    tokens_map = {name: token for name, token in tokens.items() if token in special}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **tokens_map,
        "pad_token": padding,
    }
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", tokens_map)
    return int(tokenizer.token_to_id(padding))
