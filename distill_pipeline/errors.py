"""Errors whose messages are written for the user."""

import difflib
from collections.abc import Iterable
from pathlib import Path


class DistillError(Exception):
    """An error that the user can correct; the message names the value, what is wrong with it and what to do."""


class RecipeError(DistillError):
    """A recipe is invalid."""


class TeacherError(DistillError):
    """A teacher can't be found, trusted or run."""


def install_hint(extra: str) -> str:
    """Return the command that installs an extra of this package: with make in a checkout, with pip elsewhere."""
    if (Path(__file__).resolve().parents[1] / "Makefile").is_file():
        return f'make setup EXTRAS="{extra}"'
    return f"pip install 'distill-pipeline[{extra}]'"


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return ". Did you mean X?" with the nearest known name, or an empty string."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(wrong.lower(), names, n=1, cutoff=0.5)
    return f". Did you mean {names[near[0]]}?" if near else ""
