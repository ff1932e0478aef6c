"""The guard in front of `fire`, and the flags that a recipe's fields become.

On its own, fire calls a command before it complains about an unknown flag, so a misspelt flag would run a distillation
with a default. Here a command line is checked first. The flags come from the recipe's fields, so that each is
described in one place.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

from fire.decorators import SetParseFn, SetParseFns

from distill_pipeline.errors import DistillError, did_you_mean
from distill_pipeline.recipe.presets import PRESETS
from distill_pipeline.recipe.recipe import Recipe

PRESET = "preset"

HELP = frozenset({"-h", "--help"})

STDIN = "-"
"""Stands for standard input among a command's files."""

_FLAG = re.compile("--|-[a-zA-Z]")
"""Begins what fire takes for a flag."""

_TRUTHS = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})

FLAG_OF_FIELD: Mapping[str, str] = {
    "teacher": "base_model_name",
    "repository": "model_repository_name",
    "commit_message": "commit_msg",
}
"""Fields whose flag has another name than the field."""


class UsageError(DistillError):
    """A command line can't be followed."""


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command of the command line: its parameters' values as text, but for those declared bool or int."""
    parsers = {bool: _truth, int: _positive_number, int | None: _positive_number}
    parse_fns = {
        name: partial(parsers[parameter.annotation], name)
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items()
        if parameter.annotation in parsers
    }
    decorated: Callable[..., Any] = SetParseFn(str)(SetParseFns(**parse_fns)(function))
    return decorated


def _truth(flag: str, value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise UsageError(f"--{flag} {value}: use true or false")
    return value.lower() == "true"


def _positive_number(flag: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise UsageError(f"--{flag} {value}: use a whole number from 1")
    return int(value)


def with_truths(commands: Mapping[str, Callable[..., object]], arguments: Sequence[str]) -> list[str]:
    """Return the command line with `=true` after each flag of a truth value that is given without one."""
    if not arguments or arguments[0] not in commands:
        return list(arguments)
    parameters = inspect.signature(commands[arguments[0]], eval_str=True).parameters
    switches = {name for name, parameter in parameters.items() if parameter.annotation is bool}
    return [
        f"{argument}=true"
        if _FLAG.match(argument)
        and _flag_name(argument, parameters) in switches
        # A value may follow, or be part of it already.
        and "=" not in argument
        and following.lower() not in _TRUTHS
        else argument
        for argument, following in zip(arguments, [*arguments[1:], ""], strict=True)
    ]


def _flag_name(argument: str, known: Mapping[str, object]) -> str:
    """Return the name of the flag that an argument gives."""
    flag = argument.lstrip("-").partition("=")[0].replace("-", "_")
    if len(flag) == 1:  # fire takes one letter for the only flag that begins with it
        matches = [name for name in known if name.startswith(flag)]
        return matches[0] if len(matches) == 1 else flag
    return flag


def check_command_line(commands: Mapping[str, Callable[..., object]], arguments: Sequence[str]) -> None:
    """Check that a command line names a command and only its parameters, each with a value.

    Raises:
        UsageError: It doesn't; the message says what is wrong and names the nearest valid name.
    """
    if not arguments or arguments[0] in {*HELP, "--"}:
        return
    name, *rest = arguments
    if name not in commands:
        raise UsageError(f"unknown command {name!r}{did_you_mean(name, commands)} (commands: {', '.join(commands)})")
    if HELP & set(rest):
        return
    parameters = inspect.signature(commands[name]).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    flags = {p.name: p for p in parameters if p.kind is not p.VAR_POSITIONAL}
    given, values = _split(rest, name, flags)
    surplus = values[len(positional) :]
    if surplus and len(flags) == len(parameters):
        raise UsageError(f"{name} takes {len(positional)} values, not {len(values)}: {surplus[0]!r} is too many")
    given |= set(positional[: len(values)])
    missing = [flag for flag, p in flags.items() if p.default is p.empty and flag not in given]
    if missing:
        raise UsageError(f"{name} needs {', '.join(missing)}; see distill-pipeline {name} --help")


def _split(arguments: Sequence[str], command_name: str, known: Mapping[str, object]) -> tuple[set[str], list[str]]:
    """Return the names of the flags that are given, and the positional values."""
    flags: set[str] = set()
    values: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not _FLAG.match(argument):
            values.append(argument)
            continue
        flag = _flag_name(argument, known)
        if flag not in known:
            near = did_you_mean(flag, known).replace("Did you mean ", "Did you mean --")
            raise UsageError(f"{command_name} has no flag {argument.split('=')[0]}{near or '; see --help'}")
        if flag in flags:
            raise UsageError(f"--{flag} is given twice")
        if "=" not in argument and _FLAG.match(next(rest, "--")):
            raise UsageError(f"--{flag} needs a value after it")
        flags.add(flag)
    return flags, values


class _Default(str):
    """A flag's default as its help shows it. It is never passed on: the recipe fills it in."""

    __slots__ = ()


def with_recipe_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with one more flag per recipe field, described in its help as the field is.

    The function receives all values as text; the recipe's validation parses them.
    """
    described = {PRESET: f"Begin with the settings of a preset: {', '.join(PRESETS)}."}
    parameters = [_parameter(PRESET, "none")]
    for name, field in Recipe.model_fields.items():
        if name != "name":
            flag = FLAG_OF_FIELD.get(name, name)
            described[flag] = str(field.description)
            default = inspect.Parameter.empty if field.is_required() else field.default
            truth = bool in (field.annotation, *get_args(field.annotation))
            parameters.append(_parameter(flag, default, bool if truth else inspect.Parameter.empty))
    own = inspect.signature(function).parameters.values()
    parameters += [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD]

    def wrapper(**values: Any) -> Any:
        return function(**{flag: value for flag, value in values.items() if not isinstance(value, _Default)})

    wrapper.__name__ = function.__name__
    help_lines = (f"\n        {flag}: {description}" for flag, description in described.items())
    wrapper.__doc__ = (function.__doc__ or "").rstrip() + "".join(help_lines)
    # fire reads a function's signature; this one has a parameter per field.
    vars(wrapper)["__signature__"] = inspect.Signature(parameters)
    return command(wrapper)


def _parameter(flag: str, default: Any, annotation: Any = inspect.Parameter.empty) -> inspect.Parameter:
    if default is not inspect.Parameter.empty:
        default = _Default("none" if default is None else default)
    return inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def recipe_fields(flags: Mapping[str, str]) -> dict[str, str]:
    """Return the recipe fields that the flags give, under the fields' names."""
    field_of_flag = {flag: field for field, flag in FLAG_OF_FIELD.items()}
    return {field_of_flag.get(flag, flag): value for flag, value in flags.items()}
