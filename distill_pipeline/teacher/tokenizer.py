"""A teacher's tokenizer from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def load_tokenizer(folder: Path) -> Any:
    """Return a teacher's fast tokenizer as transformers loads it: with tokens that `tokenizer.json` doesn't name.

    Runs no code of the teacher's, trusted or not, and asks nobody whether to: a fast tokenizer is data.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ValueError:  # the architecture, or the tokenizer's class, is code of the teacher's own
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
