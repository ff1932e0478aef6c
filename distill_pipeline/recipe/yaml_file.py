"""A recipe's YAML file as plain values: texts, lists and mappings. Bounded in every way: anyone may write one."""

import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from distill_pipeline.errors import RecipeError

MAX_BYTES = 1 << 18
"""Of a file, and of what its aliases stand for: a longer list of words belongs in a file of its own."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """Reads every value as text, as a command line gives it, so that `no`, `2024` and `1.10` are what is written."""

    yaml_implicit_resolvers = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}  # noqa: RUF012
    # No dates, sets or numbers by a tag either.
    yaml_constructors = {  # noqa: RUF012
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in {"str", "seq", "map"}
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping, after checking that no key is given twice."""
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def read_yaml(path: Path) -> object:
    """Return what a file holds, not to be changed; None when it is empty.

    Raises:
        RecipeError: It is no regular file, too large, or no YAML of one document without tags.
    """
    content = _content(path)
    try:
        return _parsed(content)
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise RecipeError(f"{path}: not readable as YAML: {error.problem}{line}") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).replace('in "<byte string>", ', "").split())
        raise RecipeError(f"{path}: not readable as YAML: {reason}") from error
    except RecursionError:
        raise RecipeError(f"{path}: not readable as YAML: nested too deeply") from None
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF"
        raise RecipeError(f"{path}: not readable as YAML: {error}") from error


@lru_cache(maxsize=64)  # a run reads its recipe before each step
def _parsed(content: bytes) -> object:
    loader = _Loader(content)
    node = loader.get_single_node()
    if node is None:
        return None
    if _letters(node, {}) > MAX_BYTES:
        raise yaml.YAMLError(f"its aliases stand for more than {MAX_BYTES:,} letters; write less")
    return loader.construct_document(node)


def _content(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a FIFO would be waited for
            raise RecipeError(f"{path}: this is no regular file; remove or rename it")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{path}: can't be read: {error.strerror}; repair or remove it") from error
    if len(content) > MAX_BYTES:
        raise RecipeError(f"{path}: a recipe has at most {MAX_BYTES:,} bytes; put long lists into files of their own")
    return content


def _letters(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Return how many letters a node stands for, about, once each alias in it is written out."""
    if isinstance(node, yaml.ScalarNode):
        if _NO_TEXT.search(node.value):
            raise yaml.MarkedYAMLError(problem="a character that is no text", problem_mark=node.start_mark)
        return len(node.value) + 1
    if node not in known:
        known[node] = MAX_BYTES + 1  # while it isn't known: what holds itself has no end
        pairs = node.value if isinstance(node, yaml.MappingNode) else [node.value]
        known[node] = 1 + sum(_letters(child, known) for pair in pairs for child in pair)
    return known[node]
