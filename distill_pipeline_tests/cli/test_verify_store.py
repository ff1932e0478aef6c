"""Going through the store: what is damaged is named, and fetched or made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.cli.main import main
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import file_table
from distill_pipeline.store.keys import StageKey
from distill_pipeline_tests.running import Chain
from distill_pipeline_tests.servers.bucket import Bucket

MakeRecipe = Callable[..., Recipe]


def _write(folder: Path) -> dict[str, int]:
    (folder / "rows").touch()
    return {}


def _ends(arguments: list[str], status: int) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == status


def test_damaged_outputs_are_named_and_made_again(
    finished: Chain, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILL_HOME", str(finished.home.root))
    main(["verify", "--store"])
    assert ", 0 damaged" in capsys.readouterr().out
    outputs = finished.outputs(recipe())
    before = {stage: file_table(output.folder) for stage, output in outputs.items()}
    (outputs["token_embeddings"].folder / "part-000000.parquet").write_bytes(b"PAR1")
    (outputs["static_model"].folder / "manifest.json").unlink()
    of_nobody = StageKey.of({"stage": "static_model", "a": 1})
    stored, _ = finished.home.store.get_or_make(of_nobody, _write)
    (stored.folder / "rows").write_text("more")
    _ends(["verify", "--store"], 1)
    told = capsys.readouterr()
    assert told.out.count("damaged: ") == 3
    assert ", 3 damaged" in told.out
    assert "--repair" in told.err
    main(["verify", "--store", "--repair"])
    told = capsys.readouterr()
    assert told.out.count("made again: ") == 2
    assert "removed, since no recipe leads to it now: static_model" in told.out
    assert {stage: file_table(output.folder) for stage, output in finished.outputs(recipe()).items()} == before
    main(["verify", "--store"])


def test_what_the_shared_store_has_is_fetched_and_not_made(
    finished: Chain,
    recipe: MakeRecipe,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DISTILL_HOME", str(finished.home.root))
    monkeypatch.setenv("DISTILL_STORE_URL", bucket.url)
    output = finished.output(recipe(), "vocabulary")
    finished.run(recipe(), ["vocabulary"])
    before = file_table(output.folder)
    (output.folder / "tokenizer.json").write_text("{}")
    (finished.home.recipes / "tiny.yaml").unlink()
    main(["verify", "--store", "--repair"])
    assert "fetched: vocabulary" in capsys.readouterr().out
    assert file_table(output.folder) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either a release or --store"),
        (["tiny", "--store"], "either a release or --store"),
        (["tiny", "--repair"], "--repair goes with --store"),
    ],
)
def test_a_command_line_that_says_nothing_clear_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _ends(["verify", *arguments], 2)
    assert said in capsys.readouterr().err


def test_nothing_is_removed_while_a_recipe_cant_be_asked(
    home: Home, recipe: MakeRecipe, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    teacher = shutil.copytree(bert, tmp_path / "teacher")
    home.save_recipe(recipe(teacher=str(teacher)))
    key = StageKey.of({"stage": "static_model", "a": 1})
    stored, _ = home.store.get_or_make(key, _write, recipe_name="tiny")
    (stored.folder / "rows").write_text("more")
    shutil.rmtree(teacher)
    _ends(["verify", "--store", "--repair"], 1)
    assert stored.folder.exists()
