"""Types of a recipe's fields, as command lines, YAML and code give them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError


def number_if_it_reads_like_one(value: object) -> object:
    """Turn the text of a command line ("256", "0.9", "none") into what YAML would have given."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in {"none", "null"}:
        return None
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def none_if_empty(value: object) -> object:
    """Turn how people write "none" into None, and leave all else."""
    return None if isinstance(value, str) and value.strip().lower() in {"", "none", "null"} else value


def one_of(*names: str) -> AfterValidator:
    """Return a validator as `Literal` has it, for names that are found when the process begins."""

    def check(value: str) -> str:
        if value not in names:
            expected = ", ".join(f"'{name}'" for name in names)
            raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
        return value

    return AfterValidator(check)


Dimensions = Annotated[int, Field(ge=1, le=65536, strict=True)]
VarianceShare = Annotated[float, Field(gt=0, lt=1, strict=True)]
OptionalText = Annotated[str | None, BeforeValidator(none_if_empty)]
