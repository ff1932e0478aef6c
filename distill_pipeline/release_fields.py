"""Types of the recipe's release fields: how they are read from text, and what they allow."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from distill_pipeline.field_types import none_if_empty

VARIANT = re.compile(r"float32|float16|int8|onnx|dims-[1-9]\d*")
NEXT_TAG = "next"

_REF = re.compile(r"(?!.*(\.\.|//|@\{|\.lock$))[A-Za-z0-9][\w./-]*")


def _split(value: object) -> object:
    """Turn a command line's "int8,onnx" into a list."""
    if isinstance(value, str):
        text = value.strip()
        return [] if text.lower() in {"", "none", "()"} else [part.strip() for part in text.split(",")]
    return value


def _known_variants(variants: tuple[str, ...]) -> tuple[str, ...]:
    for variant in variants:
        if not VARIANT.fullmatch(variant):
            raise ValueError(f"{variant!r} is no variant; use float32, float16, int8, onnx or dims-N")
    if len(set(variants)) < len(variants):
        raise ValueError("a variant is named twice")
    return variants


def _a_ref_outside_pull_requests(value: str | None, info: ValidationInfo) -> str | None:
    if value is None:
        return None
    if not _REF.fullmatch(value):
        raise ValueError("not a name that git allows for a branch or tag")
    if info.data.get("pull_request"):
        raise ValueError("a pull request goes to main and gets no tag; leave out pull_request or this")
    return value


Variants = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_known_variants)]
Ref = Annotated[str | None, BeforeValidator(none_if_empty), AfterValidator(_a_ref_outside_pull_requests)]
