"""The names of the places where a teacher can run. Imports nothing heavy: the command line asks here."""

from __future__ import annotations

import os

from distill_pipeline.errors import DistillError, did_you_mean

ENCODERS = ("local", "ray")


class EncoderError(DistillError):
    """An encoder that doesn't exist."""


def check_encoder(name: str) -> str:
    """Return the encoder's name. Raises `EncoderError` with the nearest one."""
    if name not in ENCODERS:
        raise EncoderError(f"encoder={name!r}: use one of {', '.join(ENCODERS)}{did_you_mean(name, ENCODERS)}")
    return name


def choose_encoder(name: str) -> None:
    """Let the assets of this process run the teacher there, unless the name is empty; they read the environment."""
    if name:
        os.environ["DISTILL_ENCODER"] = check_encoder(name)
