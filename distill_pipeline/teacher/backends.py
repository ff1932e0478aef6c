"""Where a teacher can run: on this machine or on a Ray cluster. Imports nothing heavy, for the command line."""

import os

from distill_pipeline.errors import DistillError, did_you_mean

ENCODERS = ("local", "ray")


def check_encoder(name: str) -> str:
    """Return the encoder's name. Raises `DistillError` with the nearest one."""
    if name not in ENCODERS:
        raise DistillError(f"encoder={name!r}: use one of {', '.join(ENCODERS)}{did_you_mean(name, ENCODERS)}")
    return name


def chosen_encoder() -> str:
    """Return the encoder of this process's assets. Raises `DistillError`."""
    return check_encoder(os.environ.get("DISTILL_ENCODER") or "local")


def choose_encoder(name: str) -> None:
    """Set the encoder of this process's assets, which read the environment; an empty name changes nothing."""
    if name:
        os.environ["DISTILL_ENCODER"] = check_encoder(name)
