"""A release as a whole: the gate, the card, the provenance, the variants, and checking it later."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill_pipeline.errors import RecipeError
from distill_pipeline.quality.measures import FLOORS, MEASURES
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.release.gate import ReleaseRefused, failed_floors, not_compared, regressions
from distill_pipeline.release.release import preview
from distill_pipeline.release.variants import VariantError, check_variant, write_variant
from distill_pipeline.release.verify import VerificationFailed, verify
from distill_pipeline.student.onnx_files import ONNX_FORMS
from distill_pipeline_tests.release.student import go, make_ingredients, make_release
from distill_pipeline_tests.servers.hub import Fault, Hub


def test_a_release_is_local_and_on_the_hub_with_the_same_bytes(hub: Hub, tmp_path: Path) -> None:
    told = go(make_ingredients(tmp_path / "a", tag="next"), tmp_path / "released")
    files = hub.repositories["me/tiny"].head.files
    assert all(files[path.name] == path.read_bytes() for path in (tmp_path / "released").iterdir())
    assert told == [f"released: {hub.url}/me/tiny/commit/{hub.releases('me/tiny')[0].oid}"]
    again = go(make_ingredients(tmp_path / "b", tag="next", run_id="run-2"), tmp_path / "released")
    assert again == [f"already {told[0]}"]


def test_the_local_release_stays_as_it_was_when_the_hub_fails(hub: Hub, tmp_path: Path) -> None:
    go(make_ingredients(tmp_path / "a"), tmp_path / "released")
    before = (tmp_path / "released" / "model.safetensors").read_bytes()
    hub.faults.append(Fault("403", "POST", "/commit/"))
    with pytest.raises(Exception, match="may not write"):
        go(make_ingredients(tmp_path / "b", seed=1), tmp_path / "released")
    assert (tmp_path / "released" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [".released.lock"]


def test_evidence_about_other_files_is_refused_whatever_the_reason(hub: Hub, tmp_path: Path) -> None:
    ingredients = make_ingredients(tmp_path / "a")
    (ingredients.model.folder / "config.json").write_text("{}")
    with pytest.raises(ReleaseRefused, match="about other files"):
        go(ingredients, tmp_path / "released", "I know better")
    assert not hub.repositories


def test_a_student_much_worse_than_the_released_one_is_refused_unless_a_reason_is_given(
    hub: Hub, tmp_path: Path
) -> None:
    go(make_ingredients(tmp_path / "a", correlation=0.8, max_regression=0.05), tmp_path / "one")
    worse = make_ingredients(tmp_path / "b", seed=1, correlation=0.7, max_regression=0.05)
    # Another machine, whose local registry is empty: what counts is the repository.
    with pytest.raises(ReleaseRefused, match=r"correlation 0\.700 is worse than the released one's 0\.800"):
        go(worse, tmp_path / "two")
    assert len(hub.releases("me/tiny")) == 1
    go(worse, tmp_path / "two", "smaller on purpose | agreed with Ada")
    card = hub.repositories["me/tiny"].head.files["README.md"].decode()
    assert "Released against the gate" in card
    assert "smaller on purpose" in card
    provenance = json.loads(hub.repositories["me/tiny"].head.files["provenance.json"])
    assert provenance["override_reason"] == "smaller on purpose | agreed with Ada"


def test_a_figure_that_is_no_number_reaches_no_floor_and_is_a_regression(tmp_path: Path) -> None:
    quality = {**dict.fromkeys(MEASURES, math.nan), "texts_sha256": "3"}
    recipe = make_recipe({"name": "a", "teacher": "MINILM_EMBEDDED"}, source="test")
    assert len(failed_floors(recipe, quality)) == len(MEASURES)
    assert len(regressions(recipe, quality, {**dict.fromkeys(MEASURES, 0.5), "texts_sha256": "3"})) == len(MEASURES)


def test_a_labelled_set_s_score_may_not_fall_far_either() -> None:
    recipe = make_recipe({"name": "a", "teacher": "MINILM_EMBEDDED", "max_regression": 0.05}, source="test")

    def report(texts: int, **scores: float) -> dict[str, Any]:
        sets = [
            # Two files of one name in different folders.
            {"kind": "pairs", "set": "test.tsv", "sha256": {"test.tsv": content}, "student": score}
            for content, score in scores.items()
        ]
        return {**dict.fromkeys(MEASURES, 0.5), "texts_sha256": str(texts), "labelled_sets": sets}

    before = report(3, a=0.8, b=0.6, old=0.9, once_no_number=math.nan)
    now = report(4, a=0.7, b=0.58, new=0.1, once_no_number=0.9)
    assert regressions(recipe, now, before) == [
        "pairs:test.tsv 0.700 is worse than the released one's 0.800 by more than max_regression 0.05"
    ]
    assert not_compared(now, before) == [
        f"not compared with the current release: {', '.join(MEASURES)}: it was measured on other texts",
        "not compared with the current release: pairs:test.tsv: its content changed",
    ]
    assert not_compared(now, None) == not_compared(now, now) == []
    del before["texts_sha256"]
    assert regressions(recipe, {**now, **dict.fromkeys(MEASURES, 0.0)}, before) == regressions(recipe, now, before)
    assert "it doesn't say on which texts" in not_compared(now, before)[0]
    assert not_compared({**now, "labelled_sets": []}, now) == [
        "not compared with the current release: pairs:test.tsv: the recipe doesn't name it any more"
    ]
    assert failed_floors(recipe, now) == []
    assert failed_floors(recipe, before) == ["the score on pairs:test.tsv is no number: nan"]


@pytest.mark.parametrize("figure", FLOORS)
def test_each_floor_holds_its_own_figure(figure: str) -> None:
    recipe = make_recipe({"name": "a", "teacher": "MINILM_EMBEDDED", f"min_{figure}": 0.5}, source="test")
    quality = dict.fromkeys(MEASURES, 0.4)
    assert failed_floors(recipe, quality) == [f"{figure} 0.400 is below the floor 0.5"]


def test_a_reason_that_nothing_needs_leaves_no_trace(hub: Hub, tmp_path: Path) -> None:
    go(make_ingredients(tmp_path / "a"), tmp_path / "released", "just in case")
    assert "just in case" not in hub.repositories["me/tiny"].head.files["README.md"].decode()


def test_figures_of_other_texts_are_not_compared(hub: Hub, tmp_path: Path) -> None:
    go(make_ingredients(tmp_path / "a", correlation=0.9), tmp_path / "released")
    go(make_ingredients(tmp_path / "b", seed=1, correlation=0.2, texts=7), tmp_path / "released")
    assert len(hub.releases("me/tiny")) == 2


def test_a_commit_between_the_comparison_and_the_release_stops_it(hub: Hub, tmp_path: Path) -> None:
    hub.create("me/tiny")
    hub.faults.append(Fault("race", "POST", "/commit/"))
    with pytest.raises(Exception, match="someone else committed in between"):
        go(make_ingredients(tmp_path / "a"), tmp_path / "released")


def test_a_dry_run_shows_the_difference_and_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "released"
    first = preview(make_ingredients(tmp_path / "a"), target)
    assert "+ model.safetensors" in first
    assert "me/tiny@main (not on the Hub yet): 10 new, 0 changed, 0 removed" in first
    assert not hub.repositories
    go(make_ingredients(tmp_path / "b"), target)
    hub.requests.clear()
    second = preview(make_ingredients(tmp_path / "c", seed=1), target)
    assert "~ model.safetensors" in second
    assert "= tokenizer.json" in second
    assert len(hub.releases("me/tiny")) == 1
    assert {method for method, _ in hub.requests} <= {"GET", "HEAD"}


def test_pictures_of_the_report_are_part_of_the_release(tmp_path: Path) -> None:
    ingredients = make_ingredients(tmp_path / "a", repository="none")
    (tmp_path / "drawn" / "figures").mkdir(parents=True)
    (tmp_path / "drawn" / "figures" / "word_lengths.png").write_bytes(b"\x89PNG")
    go(replace(ingredients, pictures=[tmp_path / "drawn"]), tmp_path / "released")
    assert "![word lengths](figures/word_lengths.png)" in (tmp_path / "released" / "README.md").read_text()
    assert verify(tmp_path / "released").files == 10


def test_the_provenance_names_all_that_it_was_made_of(tmp_path: Path) -> None:
    folder = make_release(tmp_path / "a", run_id="run-7")
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["teacher"] == {
        "name": "sentence-transformers/all-MiniLM-L6-v2",
        "files_sha256": "f" * 64,
        "licence": "apache-2.0",
    }
    assert provenance["recipe"]["pca_dims"] == 256
    assert set(provenance["fingerprints"]) == {"static_model", "quality_report"}
    made = provenance["run"]["static_model"]
    assert (made["run_id"], made["machine"], made["seconds"], made["versions"]) == ("run-7", "a test", 1.5, {"a": "1"})
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(fact in card for fact in ("run-7", "a test", "1.50", "s" * 64, "apache-2.0"))


@pytest.mark.parametrize("variant", ["float32", "float16", "int8", "dims-4", "onnx"])
def test_each_variant_gives_the_golden_vectors_within_its_tolerance(tmp_path: Path, variant: str) -> None:
    if variant == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    folder = make_release(tmp_path / "a", variants=variant)
    found = verify(folder).variants
    assert set(found) == {f"onnx/{name}" for name in ONNX_FORMS} if variant == "onnx" else {variant}
    assert max(found.values()) < 1e-3


@pytest.mark.parametrize("variant", ["dims-4", "onnx"])
def test_a_variant_of_an_int8_student_is_no_further_off_than_the_student_may_be(tmp_path: Path, variant: str) -> None:
    if variant == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    assert max(verify(make_release(tmp_path / "a", variants=variant, dtype="int8")).variants.values()) < 1e-3


def test_a_variant_with_a_wrong_row_is_noticed(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = make_release(tmp_path / "a")
    write_variant(folder, "float32")
    tensors = load_file(folder / "float32" / "model.safetensors")
    tensors["embeddings"][2] += np.float32(1)
    save_file(tensors, folder / "float32" / "model.safetensors")
    with pytest.raises(VariantError, match=r"away; float32 may be 1e-05"):
        check_variant(folder, "float32")


def test_a_variant_without_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VariantError, match="dims-12 is no less than the student's 12 dimensions"):
        make_release(tmp_path / "a", variants="dims-12")
    with pytest.raises(RecipeError, match="variants='int4': no variant"):
        make_recipe({"name": "x", "teacher": "MINILM_EMBEDDED", "variants": "int4"}, source="test")


@pytest.mark.parametrize("damage", ["changed", "missing", "evidence", "golden"])
def test_a_release_that_was_touched_fails_its_verification(tmp_path: Path, damage: str) -> None:
    folder = make_release(tmp_path / "a")
    assert verify(folder).files == 9
    if damage == "missing":
        (folder / "tokenizer.json").unlink()
    elif damage == "changed":
        (folder / "config.json").write_text("{}")
    else:
        other = make_release(tmp_path / "b", seed=1)
        provenance = json.loads((folder / "provenance.json").read_text())
        for name in ("model.safetensors", *(("quality.json",) if damage == "golden" else ())):
            (folder / name).write_bytes((other / name).read_bytes())
            provenance["files"][name] = json.loads((other / "provenance.json").read_text())["files"][name]
        if damage == "golden":  # someone took care of the digests as well
            from distill_pipeline.student.files import model_digest

            report = json.loads((folder / "quality.json").read_text())
            (folder / "quality.json").write_text(json.dumps({**report, "model_digest": model_digest(folder)}))
            from distill_pipeline.store.disk import file_table

            provenance["files"]["quality.json"] = file_table(folder)["quality.json"]
        (folder / "provenance.json").write_text(json.dumps(provenance))
    expected = {
        "changed": "config.json was changed",
        "missing": "tokenizer.json is missing",
        "evidence": "quality.json is not about this model",
        "golden": "of the golden text",
    }
    with pytest.raises(VerificationFailed, match=expected[damage]):
        verify(folder)
