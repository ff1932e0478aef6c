"""The whole chain on a real instance: what is computed, what is cached, and what a fault does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import STAGES
from distill_pipeline.hub.cards import CARD
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.provenance import without_run_details
from distill_pipeline.store.disk import file_table
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.store.environment import machine
from distill_pipeline.store.output import sealed
from distill_pipeline.store.verdicts import cached_verdict
from distill_pipeline.student.files import PROVENANCE
from distill_pipeline_tests.running import BEFORE_RELEASE, HITS, TO_MATRIX, Chain

MakeRecipe = Callable[..., Recipe]
Ran = tuple[Chain, Recipe, dg.ExecuteInProcessResult]


@pytest.fixture(scope="module")
def ran(small_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """A whole run in a home that was empty, of a recipe that settles the precision; tests change nothing there."""
    settling = small_recipe(precision="auto")
    with Chain(Home(tmp_path_factory.mktemp("ran") / "home")) as running:
        yield running, settling, running.run(settling)


def test_a_recipe_becomes_a_release_that_both_libraries_load(ran: Ran) -> None:
    from model2vec import StaticModel
    from sentence_transformers import SentenceTransformer

    chain, _, result = ran
    assert result.success
    release = chain.home.releases / "tiny"
    texts = ["The owl hunts mice at night.", "Shares fell sharply."]
    ours = StaticModel.from_pretrained(release).encode(texts)
    theirs = SentenceTransformer(str(release), device="cpu").encode(texts)
    assert ours.shape == (2, 8)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_each_stage_keeps_its_data_contract(finished: Chain, recipe: MakeRecipe) -> None:
    outputs = finished.outputs(recipe())
    vocabulary = pq.read_table(outputs["vocabulary"].folder / "vocabulary.parquet")
    assert vocabulary.schema.names == ["row", "token", "teacher_ids", "frequency"]
    assert vocabulary.schema.field("teacher_ids").type == pa.list_(pa.int32())
    assert vocabulary["row"].to_pylist() == list(range(len(vocabulary)))
    embeddings = pq.read_schema(outputs["token_embeddings"].folder / "part-000000.parquet")
    assert embeddings.field("embedding").type == pa.list_(pa.float32(), 32)
    parts = sorted(outputs["text_embeddings"].folder.glob("part-*.parquet"))
    assert len(parts) == 3  # one of each kind of generated text
    sentences = pa.concat_tables(map(pq.read_table, parts))
    assert sentences.schema.names == ["text", "embedding"]
    assert len(sentences) == 300
    norms = np.linalg.norm(np.stack(sentences["embedding"].to_numpy(zero_copy_only=False)), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-5)
    matrix = pq.read_table(outputs["student_matrix"].folder / "matrix.parquet")
    assert matrix.schema.names == ["row", "embedding", "weight"]
    assert len(matrix) == len(vocabulary)
    model = {path.name for path in outputs["static_model"].folder.iterdir()}
    assert model >= {"model.safetensors", "tokenizer.json", "config.json", "modules.json", "golden.parquet"}
    for stage, output in outputs.items():
        assert set(output.manifest) >= {"fingerprint", "made_of", "files", "versions", "seconds"}, stage


def test_a_second_run_computes_nothing(ran: Ran) -> None:
    chain, recipe, first = ran
    second = chain.run(recipe)
    assert chain.cache(second) == HITS
    for stage, output in chain.outputs(recipe).items():
        assert chain.metadata(second)[stage]["dagster/uri"] == output.folder.as_uri()
    versions = [
        {
            event.asset_key: (event.materialization.tags or {})["dagster/data_version"]
            for event in result.get_asset_materialization_events()
        }
        for result in (first, second)
    ]
    assert versions[0] == versions[1]


def test_a_changed_setting_recomputes_from_the_stage_that_reads_it(finished: Chain, recipe: MakeRecipe) -> None:
    cache = finished.cache(finished.run(recipe(pca_dims=4)))
    before = ["vocabulary", "token_embeddings", "text_embeddings"]
    assert [cache[stage] for stage in before] == ["hit"] * 3
    assert cache["student_matrix"] == cache["static_model"] == "computed"


def test_a_changed_floor_recomputes_the_release_alone(finished: Chain, recipe: MakeRecipe) -> None:
    cache = finished.cache(finished.run(recipe(min_similarity_correlation=-1)))
    assert [stage for stage, state in cache.items() if state == "computed"] == ["hub_release"]


def test_two_recipes_with_one_teacher_encode_once(finished: Chain, recipe: MakeRecipe) -> None:
    cache = finished.cache(finished.run(recipe(name="other", pca_dims=4)))
    assert cache["token_embeddings"] == "hit"
    assert cache["student_matrix"] == "computed"


def test_the_teacher_reads_the_evaluation_texts_once_for_all_its_students(finished: Chain, recipe: MakeRecipe) -> None:
    [folder] = (finished.home.root / "store" / "teacher_evaluation").glob("[!.]*")
    made = (folder / "manifest.json").stat().st_mtime_ns
    assert finished.cache(finished.run(recipe(pca_dims=4)))["quality_report"] == "computed"
    assert (folder / "manifest.json").stat().st_mtime_ns == made
    assert len(list(folder.parent.glob("[!.]*"))) == 1


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing", "manifest"])
def test_a_damaged_file_is_noticed_and_made_again(finished: Chain, recipe: MakeRecipe, damage: str) -> None:
    folder = finished.outputs(recipe())["student_matrix"].folder
    before = file_table(folder)
    path = folder / ("manifest.json" if damage == "manifest" else "matrix.parquet")
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2])
    cache = finished.cache(finished.run(recipe()))
    assert cache == {**HITS, "student_matrix": "computed"}
    assert file_table(folder) == before


def test_a_release_folder_that_was_touched_is_released_again(finished: Chain, recipe: MakeRecipe) -> None:
    (finished.home.releases / "tiny" / "config.json").write_text("{}")
    assert finished.cache(finished.run(recipe())) == {**HITS, "hub_release": "computed"}
    config = json.loads((finished.home.releases / "tiny" / "config.json").read_text())
    assert config["normalize"] is True
    assert config["sif_coefficient"] is None  # the weights are fitted


def test_a_stage_alone_names_the_missing_stage_before_it(chain: Chain, recipe: MakeRecipe) -> None:
    result = chain.run(recipe(), ["student_matrix"], raise_on_error=False)
    assert not result.success
    [failure] = result.filter_events(lambda event: event.is_step_failure)
    assert "Materialise vocabulary first" in str(failure.step_failure_data.error)


def test_forcing_a_stage_computes_that_stage(finished: Chain, recipe: MakeRecipe) -> None:
    assert finished.cache(finished.run(recipe(), force=["static_model"])) == {**HITS, "static_model": "computed"}


def test_the_same_recipe_gives_the_same_bytes_from_an_empty_store(ran: Ran, chain: Chain) -> None:
    before, recipe, _ = ran
    assert set(chain.cache(chain.run(recipe)).values()) == {"computed"}
    for stage in BEFORE_RELEASE:  # whose receipt tells of the run
        assert file_table(chain.output(recipe, stage).folder) == file_table(before.output(recipe, stage).folder), stage
    released, again = (_without_the_run(running.home.releases / "tiny") for running in (before, chain))
    assert again == released


def test_impossible_dimensions_fail_before_any_work(chain: Chain, recipe: MakeRecipe) -> None:
    result = chain.run(recipe(pca_dims=1024), raise_on_error=False)
    assert not result.success
    assert not list((chain.home.root / "store").rglob("*.parquet"))
    failures = result.filter_events(lambda event: event.is_step_failure)
    assert failures
    for failure in failures:
        assert "pca_dims=1024 exceeds the teacher's 32 dimensions" in str(failure.step_failure_data.error)


def test_a_student_below_its_floor_is_not_released(finished: Chain, recipe: MakeRecipe) -> None:
    shutil.rmtree(finished.home.releases)
    strict = recipe(min_similarity_correlation=1)
    result = finished.run(strict, raise_on_error=False)
    assert not result.success
    [failed] = [evaluation for evaluation in result.get_asset_check_evaluations() if not evaluation.passed]
    assert failed.check_name == "floors_are_reached"
    assert failed.metadata["floor_of_similarity_correlation"].value == 1
    assert failed.metadata["floor_of_neighbour_overlap"].value == 0
    assert "neighbour_overlap" in failed.metadata
    alone = finished.run(strict, ["hub_release"], raise_on_error=False)
    assert not alone.success
    assert not (finished.home.releases / "tiny").exists()


def test_the_card_says_on_what_the_student_was_measured_and_how_fast_both_sides_are(
    finished: Chain, recipe: MakeRecipe
) -> None:
    card = (finished.home.releases / "tiny" / CARD).read_text()
    report = json.loads((finished.output(recipe(), "quality_report").folder / "quality.json").read_text())
    assert f"Measured on {report['texts']} English sentences on many subjects, without labels" in card
    facts = finished.output(recipe(), "quality_report").facts
    assert f"student {facts['student_texts_per_second']:,} texts/s on cpu, {machine()}" in card
    assert f"teacher {facts['teacher_texts_per_second']:,} texts/s on {facts['teacher_ran_on']}." in card


def test_a_forced_report_measures_the_teacher_anew_and_others_say_where_its_speed_is_from(
    finished: Chain, recipe: MakeRecipe
) -> None:
    store, folder = finished.home.store, finished.output(recipe(), "quality_report").folder
    [(teacher, _)] = store.manifests("teacher_evaluation")
    manifest = json.loads((teacher / "manifest.json").read_text())
    unsealed = {name: value for name, value in manifest.items() if name != "digest"}
    (teacher / "manifest.json").write_text(json.dumps(sealed({**unsealed, "machine": "a faster one"})))
    finished.run(recipe(pca_dims=4))
    card = (finished.home.releases / "tiny" / CARD).read_text()
    assert f"texts/s on {manifest['facts']['device']} in {manifest['facts']['precision']}, a faster one." in card
    before = (folder / "quality.json").read_bytes()
    finished.run(recipe(), force=["quality_report"])
    [(_, forced)] = store.manifests("teacher_evaluation")
    assert forced["machine"] == manifest["machine"]  # it was made anew
    assert (folder / "quality.json").read_bytes() == before


def test_every_check_passes_and_belongs_to_the_recipe(ran: Ran) -> None:
    evaluations = ran[2].get_asset_check_evaluations()
    assert len(evaluations) == len(STAGES)
    assert all(evaluation.passed and evaluation.partition == "tiny" for evaluation in evaluations)


def test_the_check_of_the_rows_fails_on_rows_that_are_not_finite(finished: Chain, recipe: MakeRecipe) -> None:
    from distill_pipeline.defs.checks import rows_are_finite_and_not_all_alike
    from distill_pipeline.store.embeddings import embedding_array, write_table

    output = finished.outputs(recipe())["token_embeddings"]
    rows = Embeddings.of_parts(output.folder).all().copy()
    rows[3, 5] = np.nan
    write_table(output.folder / "part-000000.parquet", {"embedding": embedding_array(rows)})
    passed, metadata = rows_are_finite_and_not_all_alike(recipe(), output)
    assert not passed
    assert metadata["rows_not_finite"] == 1
    rows[3] = 0
    write_table(output.folder / "part-000000.parquet", {"embedding": embedding_array(rows)})
    passed, metadata = rows_are_finite_and_not_all_alike(recipe(), output)
    assert not passed
    assert metadata["rows_of_zeros"] == 1


def test_a_verdict_stands_for_the_bytes_that_a_check_has_read(finished: Chain, recipe: MakeRecipe) -> None:
    def examined() -> dict[str, object]:
        found = finished.run(recipe()).get_asset_check_evaluations()
        return {one.asset_key.path[-1]: value.value for one in found if (value := one.metadata.get("examined"))}

    before = examined()
    assert set(before.values()) == {"earlier, for the same files and libraries"}
    assert "quality_report" not in before  # a recipe's floors change where its report doesn't
    verdict = finished.home.store.verdict(finished.output(recipe(), "student_matrix").key)
    verdict.write_text(verdict.read_text().replace('"about": "', '"about": "of other bytes, '))
    assert examined() == {**before, "student_matrix": "now"}
    assert examined() == before


def test_a_failure_is_no_verdict_to_keep(finished: Chain, recipe: MakeRecipe) -> None:
    output = finished.output(recipe(), "student_matrix")
    store = finished.home.store
    failed = cached_verdict(store, output, "stricter", lambda: (False, {"bad": 1}))
    assert failed == (False, {"bad": 1, "examined": "now"})
    passed = cached_verdict(store, output, "stricter", lambda: (True, {"bad": 0}))
    assert passed == (True, {"bad": 0, "examined": "now"})
    kept, found = cached_verdict(store, output, "stricter", lambda: (False, {}))
    assert (kept, found["bad"]) == (True, 0)
    other = replace(output, manifest={**output.manifest, "facts": {"rows": 1}})
    assert cached_verdict(store, other, "stricter", lambda: (False, {}))[0] is False
    store.verdict(output.key).write_text("[]")
    assert cached_verdict(store, output, "stricter", lambda: (True, {}))[1]["examined"] == "now"


def test_a_tokenizer_that_puts_nothing_around_a_text_is_distilled(
    chain: Chain, recipe: MakeRecipe, modernbert: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(modernbert, tmp_path / "bare")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": None}))
    made = recipe(teacher=str(folder))
    assert chain.run(made, TO_MATRIX).success
    facts = chain.output(made, "token_embeddings").facts
    assert facts["empty"] == 2  # padding and unknown


def test_a_hit_imports_no_heavy_library(finished: Chain, recipe: MakeRecipe) -> None:
    program = (
        "import sys, os\n"
        "from distill_pipeline.cli.main import main\n"
        "main(['run', 'tiny'])\n"
        "heavy = 'torch transformers sentence_transformers matplotlib sklearn scipy httpx wordfreq'.split()\n"
        "assert not set(heavy) & set(sys.modules)\n"
    )
    environment = {"DISTILL_HOME": str(finished.home.root), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == str(finished.home.releases / "tiny")
    assert "computed" not in ended.stdout


def _without_the_run(folder: Path) -> dict[str, object]:
    """Return what identifies each file of a release, whichever run made it."""
    table: dict[str, object] = dict(file_table(folder))
    for name in (CARD, PROVENANCE):
        table[name] = without_run_details(name, (folder / name).read_bytes())
    return table
