"""Types of a recipe's fields, as command lines, YAML and code give them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

MAX_NAME_LENGTH = 63
"""Letters of a recipe's name."""

_SLUG = re.compile(rf"[a-z0-9](?:[a-z0-9._-]{{0,{MAX_NAME_LENGTH - 2}}}[a-z0-9])?")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def parse_number(value: object) -> object:
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


def parse_none(value: object) -> object:
    """Turn how people write "none" into None, and leave all else."""
    return None if isinstance(value, str) and value.strip().lower() in {"", "none", "null"} else value


def _check_slug(name: str) -> str:
    if not _SLUG.fullmatch(name) or ".." in name:
        raise ValueError(
            f"use 1 to {MAX_NAME_LENGTH} of a-z, 0-9, '.', '_', '-', beginning and ending with a letter or digit"
        )
    return name


def _check_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise ValueError("use auto, cpu, cuda, cuda:N or mps")
    return device


def is_hub_name(text: str) -> bool:
    """Whether a text is written as the Hub's repositories are."""
    return _REPOSITORY.fullmatch(text) is not None


def _check_hub_name(repository: str | None) -> str | None:
    if repository is not None and not is_hub_name(repository):
        raise ValueError("a Hub repository is written owner/name")
    return repository


_FromText = BeforeValidator(parse_number)

Slug = Annotated[str, AfterValidator(_check_slug)]
Device = Annotated[str, AfterValidator(_check_device)]
OptionalText = Annotated[str | None, BeforeValidator(parse_none)]
OptionalHubName = Annotated[OptionalText, AfterValidator(_check_hub_name)]
CountOrAuto = Annotated[Annotated[int, Field(ge=0)] | Literal["auto"], _FromText]
ShareOrAuto = Annotated[Annotated[float, Field(ge=0, le=1)] | Literal["auto"], _FromText]
Dimensions = Annotated[
    Annotated[int, Field(ge=1, le=65536, strict=True)]
    | Annotated[float, Field(gt=0, lt=1, strict=True)]
    | Literal["auto"]
    | None,
    _FromText,
]
"""A number of them, a share of variance, all, or none to choose from."""


VARIANT = re.compile(r"float32|float16|int8|onnx|dims-[1-9]\d*")
NEXT_TAG = "next"

_REF = re.compile(r"(?!.*(\.\.|//|@\{|\.lock$))[A-Za-z0-9][\w./-]*")


def _split(value: object) -> object:
    """Turn a command line's "int8,onnx" into a list."""
    if isinstance(value, str):
        text = value.strip()
        return [] if text.lower() in {"", "none", "()"} else [part.strip() for part in text.split(",")]
    return value


def _check_variants(variants: tuple[str, ...]) -> tuple[str, ...]:
    for variant in variants:
        if not VARIANT.fullmatch(variant):
            raise ValueError(f"{variant!r} is no variant; use float32, float16, int8, onnx or dims-N")
    if len(set(variants)) < len(variants):
        raise ValueError("a variant is named twice")
    return variants


def _check_ref(value: str | None, info: ValidationInfo) -> str | None:
    if value is None:
        return None
    if not _REF.fullmatch(value):
        raise ValueError("not a name that git allows for a branch or tag")
    if info.data.get("pull_request"):
        raise ValueError("a pull request goes to main and gets no tag; leave out pull_request or this")
    return value


Variants = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_variants)]
Ref = Annotated[str | None, BeforeValidator(parse_none), AfterValidator(_check_ref)]
