"""Guards in front of `fire`, and the flags that a recipe's fields become.

By itself fire calls a command before it complains of a flag that it doesn't know, so a misspelt flag would run
a distillation with a default. Here a command line is checked first. The flags are made from the recipe's
fields, so that each is described in one place.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fire.decorators import SetParseFn

from distill_pipeline.errors import DistillError
from distill_pipeline.recipe import Recipe, did_you_mean

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
    if not arguments or arguments[0] in {"-h", "--help", "--"}:
        return
    name, *rest = arguments
    if name not in commands:
        raise UsageError(f"unknown command {name!r}{did_you_mean(name, commands)} (commands: {', '.join(commands)})")
    if "--help" in rest or "-h" in rest:
        return
    parameters = inspect.signature(commands[name]).parameters
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    given_by_flag, values = _split(rest, name, parameters)
    if len(values) > len(positional):
        raise UsageError(
            f"{name} takes {len(positional)} values, not {len(values)}: {values[len(positional)]!r} is too many"
        )
    given = {p.name for p in positional[: len(values)]} | given_by_flag
    missing = [p.name for p in parameters.values() if p.default is p.empty and p.name not in given]
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
        if argument.startswith("-") and not _is_number(argument):
            _refuse_without_value(waiting)
            flag, equals, _ = argument.lstrip("-").partition("=")
            flag = flag.replace("-", "_")
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


def with_recipe_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one flag per recipe field besides its own, described in its help as the field is.

    The command receives all values as text; the recipe's validation reads them.
    """
    own = inspect.signature(command).parameters
    fields = {FLAG_OF_FIELD.get(name, name): field for name, field in Recipe.model_fields.items() if name != "name"}
    added = [
        inspect.Parameter(
            flag,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if field.is_required() else None,
        )
        for flag, field in fields.items()
    ]
    added.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    keep = [parameter for parameter in own.values() if parameter.kind is not inspect.Parameter.VAR_KEYWORD]

    @functools.wraps(command)
    def wrapper(**values: Any) -> Any:
        return command(**values)

    described = "".join(
        f"\n        {flag}: {field.description}" + ("" if field.is_required() else f" (default: {field.default})")
        for flag, field in fields.items()
    )
    wrapper.__doc__ = (command.__doc__ or "").rstrip() + described
    wrapper.__signature__ = inspect.Signature([*added, *keep])  # type: ignore[attr-defined]
    del wrapper.__wrapped__  # type: ignore[attr-defined]
    parsed: Callable[..., Any] = SetParseFn(str)(wrapper)
    return parsed


def recipe_fields(flags: Mapping[str, str | None]) -> dict[str, str]:
    """Return the recipe fields that the flags give, under the fields' names."""
    field_of_flag = {flag: field for field, flag in FLAG_OF_FIELD.items()}
    return {field_of_flag.get(flag, flag): value for flag, value in flags.items() if value is not None}
