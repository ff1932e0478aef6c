"""A release takes the place of the one before: readers find a whole one, and so does the next release."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from distill_pipeline.release.gate import ReleaseRefused
from distill_pipeline.release.verify import verify
from distill_pipeline.store.disk import replace_folder
from distill_pipeline_tests.release.student import go, make_ingredients, make_release


def test_a_release_can_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    ingredients = make_ingredients(tmp_path / "a", repository="none", variants="int8")
    (ingredients.model.folder / "model.safetensors").chmod(0o600)  # as releases of earlier versions have it
    before = os.umask(0o027)
    try:
        go(ingredients, tmp_path / "released")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "released").rglob("*") if path.is_file()}
    assert modes == {0o640}


def test_a_reader_never_finds_a_release_missing(tmp_path: Path) -> None:
    target = tmp_path / "released"
    folders = [make_release(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    wanted = {(folder / "config.json").read_bytes() for folder in folders}
    shutil.copytree(folders[0], target)
    done = threading.Event()
    missed: list[str] = []

    def read() -> None:
        while not done.is_set():
            try:
                assert (target / "config.json").read_bytes() in wanted
            except OSError as error:
                missed.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        replace_folder(shutil.copytree(folders[number % 2], tmp_path / "next"), target)
    done.set()
    reader.join()
    assert missed == []


@pytest.mark.parametrize("exchange", ["impossible", "possible"])
def test_a_release_killed_while_it_replaces_another_is_still_compared_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: str
) -> None:
    target = tmp_path / "released"
    strict: dict[str, Any] = {"repository": "none", "max_regression": 0.05}
    go(make_ingredients(tmp_path / "a", correlation=0.8, **strict), target)
    if exchange == "impossible":
        monkeypatch.setattr("distill_pipeline.store.disk._exchange", lambda: lambda *_: errno.EINVAL)
    with monkeypatch.context() as patched:
        rename = Path.rename

        def killed(path: Path, to: Path) -> Path:
            moved = rename(path, to)
            if path == target or to.suffix == ".old":
                raise KeyboardInterrupt
            return moved

        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            go(make_ingredients(tmp_path / "b", seed=1, correlation=0.8, **strict), target)
    assert target.exists() == (exchange == "possible")
    with pytest.raises(ReleaseRefused, match=r"correlation 0\.700 is worse than the released one's 0\.800"):
        go(make_ingredients(tmp_path / "c", seed=2, correlation=0.7, **strict), target)
    go(make_ingredients(tmp_path / "d", seed=1, correlation=0.8, **strict), target)
    assert verify(target).files
