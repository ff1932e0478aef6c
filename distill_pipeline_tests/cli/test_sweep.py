"""The commands about several recipes: one that fails stops no other, and each teacher runs once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.cli.main import main
from distill_pipeline_tests.conftest import GRID

SMALL = (
    "vocabulary_words: 300\ndictionary_texts: 0\ngenerated_texts: 300\nprecision: float32\n"
    "compare_with_model2vec: false\nlabelled_sets: []\n"
)


@pytest.fixture
def own_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The process' home is the test's."""
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return home


def outputs(home: Home, stage: str) -> list[Path]:
    return [path for path in (home.store.root / stage).iterdir() if not path.name.startswith(".")]


def test_a_sweep_goes_on_past_a_failure_encodes_once_and_releases_nothing(
    own_home: Home, modernbert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(f"teacher: {modernbert}\n{SMALL}{GRID}")
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(file)])
    assert ended.value.code == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["grid.dims-4", "grid.dims-999", "grid.dims-8"]
    assert lines[0].endswith("6 of 6 stages computed")
    assert lines[1].endswith("failed")
    assert lines[2].endswith("3 of 6 stages computed")
    assert lines[-1] == "2 of 3 recipes finished: distill-pipeline compare grid"
    assert "grid.dims-999 failed: " in captured.err
    assert "pca_dims=999 exceeds the teacher's 32 dimensions" in captured.err
    for stage in ("token_embeddings", "text_embeddings", "teacher_evaluation"):
        assert len(outputs(own_home, stage)) == 1
    assert not own_home.releases.exists()
    assert not (own_home.store.root / "pictures").exists()

    main(["compare", "grid", "--output", str(tmp_path / "comparison")])
    captured = capsys.readouterr()
    table = [line.split() for line in captured.out.splitlines()[1:3]]
    assert {(line[1], line[2]) for line in table} == {("grid.dims-4", "4"), ("grid.dims-8", "8")}
    assert "not compared: grid.dims-999: no quality report was made yet" in captured.err
    assert captured.out.splitlines()[-1] == str(tmp_path / "comparison" / "comparison.png")
    assert sorted(path.name for path in (tmp_path / "comparison").iterdir()) == [
        "comparison.csv",
        "comparison.json",
        "comparison.png",
    ]

    main(["plan"])
    states = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "1 of 7 stages, from hub_release: never made for this recipe" in states["grid.dims-4"]
    assert states["grid.dims-999"].split()[1] == "missing"

    main(["run", "grid.dims-4", "--override_reason", "a random teacher"])
    assert len(outputs(own_home, "pictures")) == 3
    assert len([*(own_home.releases / "grid.dims-4" / "figures").glob("*.png")]) == 6


def test_a_sweep_that_someone_stops_begins_no_other_recipe(
    own_home: Home, modernbert: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_ctrl_c(_: Path) -> float:
        signal.raise_signal(signal.SIGINT)
        return 0.0

    own_home.recipes.mkdir(parents=True)
    (own_home.recipes / "grid.yaml").write_text(f"teacher: {modernbert}\n{SMALL}{GRID}")
    monkeypatch.setattr("distill_pipeline.defs.assets.static_model.verify_golden", press_ctrl_c)
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "grid"])
    assert ended.value.code == 130
    said = capsys.readouterr().err
    assert "grid.dims-4 (1 of 3)" in said
    assert "(2 of 3)" not in said
    assert said.splitlines()[-1] == "stopped; the same command goes on with what is missing"


def test_a_sweep_whose_teacher_is_gone_fails_recipe_by_recipe(
    own_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_home.recipes.mkdir(parents=True)
    (own_home.recipes / "grid.yaml").write_text(f"teacher: {tmp_path}/gone\n{GRID}")
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "grid"])
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("0 of 3 recipes finished")
    assert captured.err.count("no Sentence Transformer in this folder") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "minilm-256"], "is no sweep but one recipe"),
        (["sweep", "gri"], "Did you mean grid?"),
        (["sweep", "grid", "--release", "yes"], "use true or false"),
        (["sweep", "grid", "--force", "statik_model"], "Did you mean static_model?"),
        (["sweep", "wrong"], "pca_dims=-4"),
        (["run", "grid"], "is a sweep of 3 recipes"),
        (["run", "minilm-256", "--dry_run=maybe"], "use true or false"),
        (["gc", "--delete=maybe"], "use true or false"),
        (["search", "minilm-256", "-", "--query", "kiwi", "--limit", "0"], "use a whole number from 1"),
        (["compare"], "compare needs names"),
        (["compare", "grid"], "nothing to compare"),
        (["compare", "minilm-25"], "Did you mean minilm-256?"),
    ],
)
def test_a_mistake_ends_with_status_2_before_any_work(
    own_home: Home, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    own_home.recipes.mkdir(parents=True)
    (own_home.recipes / "grid.yaml").write_text(f"teacher: MINILM_EMBEDDED\n{GRID}")
    (own_home.recipes / "wrong.yaml").write_text("teacher: MINILM_EMBEDDED\nsweep: {pca_dims: [-4]}\n")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not own_home.store.root.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("teacher: MINILM_EMBEDDED\n", "holds no `sweep:`"),
        ("teacher: ./here\nsweep: {pca_dims: [4]}\n", "write their paths in full"),
        ("teacher: MINILM_EMBEDDED\nsweep: {pca_dims: [5]}\n", "another recipe file of this name"),
    ],
)
def test_a_file_that_would_not_mean_the_same_among_the_recipes_is_not_copied(
    own_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    own_home.recipes.mkdir(parents=True)
    if "[5]" in content:
        (own_home.recipes / "grid.yaml").write_text(f"teacher: MINILM_EMBEDDED\n{GRID}")
    before = [path.read_bytes() for path in own_home.recipes.iterdir()]
    file = tmp_path / "grid.yaml"
    file.write_text(content)
    with pytest.raises(SystemExit):
        main(["sweep", str(file)])
    assert said in capsys.readouterr().err
    assert [path.read_bytes() for path in own_home.recipes.iterdir()] == before
