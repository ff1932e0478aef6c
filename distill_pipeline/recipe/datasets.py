"""Hugging Face datasets in a recipe's corpus: `dataset:NAME[:CONFIG[:SPLIT]][@REVISION][#COLUMN]`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

_PREFIX = "dataset:"
_FOLDER = ("/", "./", "../", "~")


@dataclass(frozen=True)
class Dataset:
    """A dataset of the Hub, or a folder that the library `datasets` reads.

    Attributes:
        name: Its name on the Hub, or the folder.
        config: Configuration (subset); empty for the only one.
        revision: Commit, tag or branch; empty for the newest.
        column: Column of the texts.
    """

    name: str
    config: str = ""
    split: str = "train"
    revision: str = ""
    column: str = "text"

    @classmethod
    def parse(cls, source: str) -> Dataset | None:
        """Return the dataset that an entry of a corpus names, or None when it names files."""
        if not source.startswith(_PREFIX):
            return None
        whole = source.removeprefix(_PREFIX)
        # The folders above a folder may have any signs in their names.
        above, slash, body = whole.rpartition("/") if whole.startswith(_FOLDER) else ("", "", whole)
        body, _, column = body.partition("#")
        body, _, revision = body.partition("@")
        name, config, split = (*body.split(":", 2), "", "")[:3]
        return cls(f"{above}{slash}{name}", config, split or "train", revision, column or "text")

    @property
    def folder(self) -> Path | None:
        """The dataset's folder, or None for a dataset of the Hub."""
        return Path(self.name).expanduser() if self.name.startswith(_FOLDER) else None

    def resolve(self, base: Path) -> Dataset:
        """Return the dataset with its folder, if any, made absolute."""
        return self if self.folder is None else replace(self, name=str((base / self.folder).resolve()))

    def without_path(self) -> Dataset:
        """Return the dataset with only the last part of its folder, so that a release shows no path of a machine."""
        return self if self.folder is None else replace(self, name=f"./{self.folder.name}")

    def __str__(self) -> str:
        name = f"{self.name}:{self.config}:{'' if self.split == 'train' else self.split}".rstrip(":")
        revision, column = self.revision and f"@{self.revision}", "" if self.column == "text" else f"#{self.column}"
        return f"{_PREFIX}{name}{revision}{column}"
