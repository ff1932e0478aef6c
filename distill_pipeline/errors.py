"""Errors whose messages are written for the user."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LINE = 2_000


class DistillError(Exception):
    """An error that the user can correct; the message names the value, what is wrong with it and what to do.

    Files' names and values are part of messages, and may be anything. So a message has no letters that a terminal
    obeys or that can't be stored, and no lines without end.
    """

    def __str__(self) -> str:
        lines = super().__str__().split("\n")
        return "\n".join(_printable(line if len(line) <= _LINE else f"{line[:1500]}...{line[-400:]}") for line in lines)


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


class RecipeError(DistillError):
    """A recipe is invalid."""


class TeacherError(DistillError):
    """A teacher can't be found, trusted or run."""


@contextmanager
def explained(kind: type[DistillError], what: str) -> Iterator[None]:
    """Turn whatever goes wrong, except a `DistillError`, into an error of this kind that begins with `what`.

    It stands where what serves everyone reads what one person wrote, and where a year of odd files must not end it.
    """
    try:
        yield
    except DistillError:
        raise
    except OSError as error:
        raise kind(f"{what}: can't be read: {error}") from error
    except RecursionError as error:
        raise kind(f"{what}: can't be read: nested too deeply") from error
    except Exception as error:
        raise kind(f"{what}: {type(error).__name__}: {error}") from error


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
