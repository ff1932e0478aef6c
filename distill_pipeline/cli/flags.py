"""Guards in front of `fire`, and the flags that a recipe's fields become.

By itself fire calls a command before it complains of a flag that it doesn't know, so a misspelt flag would run
a distillation with a default. Here a command line is checked first. The flags are made from the recipe's
fields, so that each is described in one place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fire.decorators import SetParseFn

from distill_pipeline.errors import DistillError, did_you_mean
from distill_pipeline.recipe.presets import PRESETS
from distill_pipeline.recipe.recipe import Recipe

PRESET = "preset"

HELP = frozenset({"-h", "--help"})

STDIN = "-"
"""Stands for standard input among a command's files."""

FLAG_OF_FIELD: Mapping[str, str] = {
    "teacher": "base_model_name",
    "repository": "model_repository_name",
    "commit_message": "commit_msg",
}
"""Fields whose flag has another name than the field."""


class UsageError(DistillError):
    """A command line that can't be followed."""


def check_command_line(commands: Mapping[str, Callable[..., object]], arguments: Sequence[str]) -> None:
    """Check that a command line names a command and only its parameters, each with a value.

    Raises:
        UsageError: The nearest valid name is in the message.
    """
    if not arguments or arguments[0] in {*HELP, "--"}:
        return
    name, *rest = arguments
    if name not in commands:
        raise UsageError(f"unknown command {name!r}{did_you_mean(name, commands)} (commands: {', '.join(commands)})")
    if HELP & set(rest):
        return
    parameters = inspect.signature(commands[name]).parameters
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    takes_any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    flags = {flag: p for flag, p in parameters.items() if p.kind is not p.VAR_POSITIONAL}
    given_by_flag, values = _split(rest, name, flags)
    if len(values) > len(positional) and not takes_any_number:
        raise UsageError(
            f"{name} takes {len(positional)} values, not {len(values)}: {values[len(positional)]!r} is too many"
        )
    given = {p.name for p in positional[: len(values)]} | given_by_flag
    missing = [p.name for p in flags.values() if p.default is p.empty and p.name not in given]
    if missing:
        raise UsageError(f"{name} needs {', '.join(missing)}; see distill-pipeline {name} --help")


def _split(
    arguments: Sequence[str], command: str, parameters: Mapping[str, inspect.Parameter]
) -> tuple[set[str], list[str]]:
    """Separate the names of flags from the positional values."""
    flags: set[str] = set()
    values: list[str] = []
    waiting: str | None = None
    for argument in arguments:
        if argument.startswith("-") and argument != STDIN and not _is_number(argument):
            _refuse_without_value(waiting)
            flag, equals, _ = argument.lstrip("-").partition("=")
            flag = flag.replace("-", "_")
            if len(flag) == 1:  # fire takes the first letter of a flag for it where only one begins so
                beginning = [name for name in parameters if name.startswith(flag)]
                flag = beginning[0] if len(beginning) == 1 else flag
            if flag not in parameters:
                near = did_you_mean(flag, parameters).replace("Did you mean ", "Did you mean --")
                raise UsageError(f"{command} has no flag {argument.split('=')[0]}{near or '; see --help'}")
            if flag in flags:
                raise UsageError(f"--{flag} is given twice")
            flags.add(flag)
            waiting = None if equals else flag
        elif waiting:
            waiting = None
        else:
            values.append(argument)
    _refuse_without_value(waiting)
    return flags, values


def _refuse_without_value(flag: str | None) -> None:
    if flag:
        raise UsageError(f"--{flag} needs a value after it")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def truth(flag: str, value: str) -> bool:
    """Return what a flag's true or false says. Raises `UsageError`."""
    if value.lower() not in {"true", "false"}:
        raise UsageError(f"--{flag} {value}: use true or false")
    return value.lower() == "true"


def positive_number(flag: str, value: str) -> int:
    """Return a flag's whole number from 1. Raises `UsageError`."""
    if not value.isdecimal() or int(value) < 1:
        raise UsageError(f"--{flag} {value}: use a whole number from 1")
    return int(value)


class _Default(str):
    """A flag's default as its help shows it; the recipe fills it in, so it is never passed on."""

    __slots__ = ()


def with_recipe_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one flag per recipe field besides its own, described in its help as the field is.

    The command receives all values as text; the recipe's validation reads them.
    """
    described = {PRESET: f"Begin with the settings of a preset: {', '.join(PRESETS)}."}
    parameters = [_parameter(PRESET, "none")]
    for name, field in Recipe.model_fields.items():
        if name != "name":
            flag = FLAG_OF_FIELD.get(name, name)
            described[flag] = str(field.description)
            parameters.append(_parameter(flag, inspect.Parameter.empty if field.is_required() else field.default))
    own = inspect.signature(command).parameters.values()
    parameters += [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD]

    def wrapper(**values: Any) -> Any:
        return command(**{flag: value for flag, value in values.items() if not isinstance(value, _Default)})

    wrapper.__name__ = command.__name__
    help_lines = (f"\n        {flag}: {description}" for flag, description in described.items())
    wrapper.__doc__ = (command.__doc__ or "").rstrip() + "".join(help_lines)
    # fire reads a function's signature; this one has a parameter per field.
    vars(wrapper)["__signature__"] = inspect.Signature(parameters)
    parsed: Callable[..., Any] = SetParseFn(str)(wrapper)
    return parsed


def _parameter(flag: str, default: Any) -> inspect.Parameter:
    if default is not inspect.Parameter.empty:
        default = _Default("none" if default is None else default)
    return inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=default)


def recipe_fields(flags: Mapping[str, str]) -> dict[str, str]:
    """Return the recipe fields that the flags give, under the fields' names."""
    field_of_flag = {flag: field for field, flag in FLAG_OF_FIELD.items()}
    return {field_of_flag.get(flag, flag): value for flag, value in flags.items()}
