"""What a teacher's folder consists of, by its modules.json, and whether those files are whole. Loads no model."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from distill_pipeline.errors import TeacherError

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"

_PATTERNS = ("*.json", "*.txt", "*.safetensors", "*.model", "*.py")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Names that sentence_transformers tries for a transformer's own settings."""

_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Module:
    """An entry of modules.json: its folder below the teacher's, empty for that one itself, and its class."""

    path: str
    kind: str


def leads_out(name: str) -> bool:
    """Whether a relative name leads out of its folder, on any system."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or bool(PureWindowsPath(name).drive)


def read_json(path: Path, kind: type = dict) -> Any:
    """Return a JSON file's value, which is of this kind; an empty one when there is no such file.

    Raises:
        TeacherError: It isn't valid JSON, or something else.
    """
    if not path.is_file():
        return kind()
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TeacherError(f"{path} is damaged or cut short: it is no valid JSON ({error}); get it again") from None
    if not isinstance(value, kind):
        raise TeacherError(f"{path} holds something else than it should; get it again")
    return value


def read_modules(folder: Path) -> list[Module]:
    """Return a teacher's modules; a folder without modules.json is a transformer. Raises `TeacherError`."""
    return parse_modules(read_json(folder / MODULES, list), folder / MODULES)


def parse_modules(entries: Iterable[Any], named: object) -> list[Module]:
    """Return the modules that the entries of modules.json name. Raises `TeacherError`, with this name of the file."""
    try:
        modules = [Module("/".join(PurePosixPath(entry["path"]).parts), entry["type"]) for entry in entries]
    except (KeyError, TypeError):
        raise TeacherError(f"{named}: each module needs its path and type; get the file again") from None
    for module in modules:
        if leads_out(module.path):
            raise TeacherError(f"{named}: the module's path {module.path!r} leads out of the teacher's folder; refused")
    return modules or [Module("", "")]


def transformer_folder(folder: Path) -> Path:
    """Return where a teacher's transformer and its tokenizer are: in its folder, or in one that modules.json names."""
    return folder / read_modules(folder)[0].path


def settings(folder: Path) -> dict[str, Any]:
    """Return sentence_transformers' settings of a teacher's transformer, such as `max_seq_length`."""
    place = transformer_folder(folder)
    return next((found for name in _SETTINGS if (found := read_json(place / name))), {})


def _patterns(allow_pickled_weights: bool) -> tuple[str, ...]:
    """Return patterns of the names of a teacher's files."""
    return (*_PATTERNS, "*.bin") if allow_pickled_weights else _PATTERNS


def own_files(names: Iterable[str], modules: Iterable[Module], allow_pickled_weights: bool) -> list[str]:
    """Return those of the names, relative to a teacher's folder, that are its files or those of its modules."""
    folders = tuple(f"{module.path}/" for module in modules if module.path)
    return sorted(
        name
        for name in names
        if ("/" not in name or name.startswith(folders))
        and any(fnmatch(name.rpartition("/")[2], pattern) for pattern in _patterns(allow_pickled_weights))
    )


def files_of(folder: Path, allow_pickled_weights: bool) -> list[str]:
    """Return the names of a teacher's files: those in its folder, and those below the folders of its modules."""
    modules = read_modules(folder)
    below = (path for module in modules if module.path for path in (folder / module.path).rglob("*"))
    names = {path.relative_to(folder).as_posix() for path in (*folder.iterdir(), *below) if path.is_file()}
    return own_files(names, modules, allow_pickled_weights)


def check_whole(folder: Path, allow_pickled_weights: bool) -> None:
    """Check that a teacher's files are there, whole, and of kinds that can be read, without loading them.

    Raises:
        TeacherError: One is missing, cut short, a pointer to a file elsewhere, or pickled though that isn't allowed.
    """
    modules_file = folder / MODULES
    _refuse_pointer(modules_file)
    modules = read_modules(folder)
    place = folder / modules[0].path
    if (place / "adapter_config.json").is_file():
        base = read_json(place / "adapter_config.json").get("base_model_name_or_path")
        raise TeacherError(
            f"{place} holds an adapter, which is no whole model: merge it into its base model {base or ''} first, "
            "with merge_and_unload of peft, and save that"
        )
    if not (place / "config.json").is_file():
        named = f", the transformer's folder in {MODULES}" if modules[0].path else ""
        raise TeacherError(f"{place}{named}: there is no Sentence Transformer in this folder (no config.json)")
    names = files_of(folder, allow_pickled_weights)
    for name in names:
        if not name.endswith((".safetensors", ".bin")):
            _refuse_pointer(folder / name)
    for name in ("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", *_SETTINGS):
        read_json(place / name)
    read_json(folder / PROMPTS)
    for file in _weights(folder, modules, allow_pickled_weights):
        _check_weights(file)


def _weights(folder: Path, modules: list[Module], allow_pickled_weights: bool) -> Iterator[Path]:
    """Yield the files of weights that sentence_transformers reads."""
    for number, module in enumerate(modules):
        place = folder / module.path
        read_json(place / "config.json")
        wanted = (*_WEIGHTS, *_PICKLED) if allow_pickled_weights else _WEIGHTS
        found = next((place / name for name in wanted if (place / name).is_file()), None)
        pickled = next((place / name for name in _PICKLED if (place / name).is_file()), None)
        if found is None and (number == 0 or pickled):
            raise TeacherError(
                f"{place} holds no weights in safetensors format{f', but {pickled.name}' if pickled else ''}; "
                "convert the teacher first, or, if you trust its pickled weights with this machine, set "
                "allow_pickled_weights: true"
            )
        if found is not None and found.suffix == ".json":
            _refuse_pointer(found)
            shards = read_json(found).get("weight_map", {})
            yield from (place / name for name in sorted(set(shards.values())))
        elif found is not None:
            yield found


def _check_weights(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise TeacherError(f"{file} is missing, which the index of the weights names; get the teacher again")
    _refuse_pointer(file)
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, framework="np"):  # reads the header, and compares the file's size with it
            pass
    except (SafetensorError, OSError) as error:
        raise TeacherError(f"{file} is damaged or cut short ({error}); get it again") from None


def _refuse_pointer(file: Path) -> None:
    if not file.is_file():
        return
    with file.open("rb") as opened:
        if opened.read(len(_POINTER)) == _POINTER:
            raise TeacherError(
                f"{file} is a Git LFS pointer, not the file itself: run `git lfs pull` in the teacher's folder"
            )
