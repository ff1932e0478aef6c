"""Plans of several recipes: each is about its own files of the teacher."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.plan import identify_teachers
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.recipe.recipe import Recipe


def test_recipes_that_read_other_files_of_one_teacher_are_told_apart(
    home: Home, recipe: Callable[..., Recipe], modernbert: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(modernbert, tmp_path / "teacher")
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    recipes = [
        recipe(name=name, teacher=str(folder), allow_pickled_weights=allowed)
        for name, allowed in (("safe", False), ("pickled", True))
    ]
    identified, problems = identify_teachers(home, recipes)
    assert not problems
    for made, identity in identified:
        assert identity == find_teacher(home, made).identity
    assert identified[0][1] != identified[1][1]
