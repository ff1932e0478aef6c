"""A teacher's tokenizer from its files."""

from pathlib import Path
from typing import Any


def load_tokenizer(folder: Path) -> Any:
    """Return a teacher's fast tokenizer as transformers loads it: with tokens that `tokenizer.json` doesn't name.

    Never runs the teacher's own code, even if the recipe trusts it: a fast tokenizer is data.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ValueError:  # the architecture or the tokenizer's class is the teacher's own code
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
