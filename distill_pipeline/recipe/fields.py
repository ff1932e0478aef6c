"""Types of a recipe's fields; they accept what YAML, Python and a command line give."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

MAX_NAME_LENGTH = 63
VARIANT = re.compile(r"float32|float16|int8|onnx|router|dims-[1-9]\d*")
NEXT_TAG = "next"

_HUB_NAME = r"(?a)[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"

NONE = frozenset({"", "none", "null", "~"})
"""What stands for no value, in YAML and on a command line."""


def is_hub_name(text: str) -> bool:
    """Whether a text has the form of a Hub repository's name, owner/name."""
    return re.fullmatch(_HUB_NAME, text) is not None


def check_hub_name(name: str | None) -> str | None:
    """Return a repository's name. Raises `ValueError` if the Hub allows no such name."""
    if name is not None:
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        validate_repo_id(name)  # its error is a ValueError
    return name


def _matches(pattern: str | re.Pattern[str], message: str) -> AfterValidator:
    """Return a validator of texts that must match a pattern; None passes."""

    def check(value: str | None) -> str | None:
        if value is not None and not re.fullmatch(pattern, value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def is_none(value: object) -> bool:
    """Whether a value is, or stands for, none."""
    return value is None or (isinstance(value, str) and value.strip().lower() in NONE)


def _parse_none(value: object) -> object:
    return None if is_none(value) else value


def _parse_number(value: object) -> object:
    """Return the number, or None, that a command line's text ("256", "0.9", "none") stands for; others unchanged."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in NONE - {""}:
        return None
    try:
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    except ValueError:
        return text


def _parse_list(value: object) -> object:
    """Return the list that a command line's text ("int8,onnx") stands for; others unchanged."""
    if not isinstance(value, str):
        return value
    return [] if is_none(value) or value == "()" else split_list(value)


def split_list(text: str) -> list[str]:
    """Return the parts of a list that is written with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _parse_floors(value: object) -> object:
    """Return the floors that a command line's text ("retrieval: 0.4, synonyms: 0.9") stands for; others unchanged."""
    if is_none(value):
        return {}
    if not isinstance(value, str):
        return value
    parts = (part.rpartition(":") for part in split_list(value.strip("{}")))
    return {kind.strip(): floor.strip() for kind, _, floor in parts}


def _check_unique(variants: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(variants)) < len(variants):
        raise ValueError("a variant is named twice")
    return variants


def _not_with_pull_request(value: str | None, info: ValidationInfo) -> str | None:
    if value is not None and info.data.get("pull_request"):
        raise ValueError("a pull request goes to main and gets no tag; leave out pull_request or this")
    return value


def _of_words(value: int | None, info: ValidationInfo) -> int | None:
    if value is not None and info.data.get("vocabulary") == "teacher":
        raise ValueError("vocabulary=teacher keeps the teacher's entries; use vocabulary=words, or leave this out")
    return value


Slug = Annotated[
    str,
    _matches(
        rf"(?!.*\.\.)[a-z0-9](?:[a-z0-9._-]{{0,{MAX_NAME_LENGTH - 2}}}[a-z0-9])?",
        f"use 1 to {MAX_NAME_LENGTH} of a-z, 0-9, '.', '_', '-', beginning and ending with a letter or digit",
    ),
]
Device = Annotated[str, _matches(r"auto|cpu|mps|cuda(:\d+)?", "use auto, cpu, cuda, cuda:N or mps")]
OptionalText = Annotated[str | None, BeforeValidator(_parse_none)]
OptionalHubName = Annotated[
    OptionalText, _matches(_HUB_NAME, "a Hub repository is written owner/name"), AfterValidator(check_hub_name)
]
Ref = Annotated[
    OptionalText,
    _matches(r"(?!.*(\.\.|//|@\{|\.lock$))[A-Za-z0-9][\w./-]*", "not a name that git allows for a branch or tag"),
    AfterValidator(_not_with_pull_request),
]
Variant = Annotated[str, _matches(VARIANT, "no variant; use float32, float16, int8, onnx, router or dims-N")]
Floors = Annotated[dict[str, Annotated[float, Field(ge=-1, le=1)]], BeforeValidator(_parse_floors)]
Variants = Annotated[tuple[Variant, ...], BeforeValidator(_parse_list), AfterValidator(_check_unique)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
CountOrAuto = Annotated[Annotated[int, Field(ge=0)] | Literal["auto"], BeforeValidator(_parse_number)]
EntryLimit = Annotated[Count | None, BeforeValidator(_parse_number), AfterValidator(_of_words)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareOrAuto = Annotated[Share | Literal["auto"], BeforeValidator(_parse_number)]
Dimensions = Annotated[
    Annotated[int, Field(ge=1, le=65536, strict=True)]
    | Annotated[float, Field(gt=0, lt=1, strict=True)]
    | Literal["auto"]
    | None,
    BeforeValidator(_parse_number),
]
"""A number of dimensions, the share of variance to keep, all ("auto"), or None for no projection."""
