"""Names of Hugging Face data sets in a recipe's corpus: `dataset:NAME[:CONFIG[:SPLIT]][@REVISION][#COLUMN]`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

DATASET = "dataset:"


@dataclass(frozen=True)
class Dataset:
    """A data set of the Hub, or a folder of files that the library `datasets` reads.

    Attributes:
        name: Its name on the Hub, or the folder.
        config: Which of its configurations (subsets); empty for the only one.
        split: Which part of it.
        revision: Commit, tag or branch; empty for the newest.
        column: Holds the texts.
    """

    name: str
    config: str = ""
    split: str = "train"
    revision: str = ""
    column: str = "text"

    @classmethod
    def parse(cls, source: str) -> Dataset | None:
        """Read an entry of a corpus; None for files."""
        if not source.startswith(DATASET):
            return None
        body, _, column = source.removeprefix(DATASET).partition("#")
        body, _, revision = body.partition("@")
        name, config, split = (*body.split(":", 2), "", "")[:3]
        return cls(name, config, split or "train", revision, column or "text")

    @property
    def folder(self) -> Path | None:
        """The folder, where the name is written as that of one."""
        return Path(self.name).expanduser() if self.name.startswith(("/", "./", "../", "~")) else None

    def resolve(self, base: Path) -> Dataset:
        """Return it with its folder, if it is one, made absolute."""
        return self if self.folder is None else replace(self, name=str((base / self.folder).resolve()))

    def without_path(self) -> Dataset:
        """Return it with the last part of its folder alone, for others to read."""
        return self if self.folder is None else replace(self, name=f"./{self.folder.name}")

    def __str__(self) -> str:
        parts = [self.name, self.config, "" if self.split == "train" else self.split]
        named = ":".join(parts).rstrip(":")
        revision, column = (f"@{self.revision}" if self.revision else ""), f"#{self.column}"
        return f"{DATASET}{named}{revision}{'' if self.column == 'text' else column}"
