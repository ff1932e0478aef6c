"""Teachers that aren't whole, or are no sentence embedders, are named in one sentence before they run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distill_pipeline.errors import TeacherError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.teacher.check import check_teacher
from distill_pipeline.teacher.source import TeacherSource, resolve_teacher
from distill_pipeline.teacher.tokenizer import load_tokenizer
from distill_pipeline_tests.teachers import build_bert

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound teacher; tests get copies of it."""
    return build_bert(tmp_path_factory.mktemp("sound") / "teacher")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A sound teacher's copy, to be damaged."""
    return Path(shutil.copytree(sound, tmp_path / "teacher"))


def resolve(folder: Path) -> TeacherSource:
    """Resolve the folder as a teacher."""
    return resolve_teacher(str(folder), None, known_commits=folder / "none.json")


def check(folder: Path, **fields: Any) -> None:
    """Check the folder as a recipe's teacher."""
    check_teacher(resolve(folder), Recipe(teacher=str(folder), **fields))


def change_weights(folder: Path, change: Callable[[str], str | None]) -> None:
    """Rename each weight, or leave it out."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    renamed = {change(name): weight for name, weight in load_file(file).items()}
    kept = {name: weight for name, weight in renamed.items() if name is not None}
    save_file(kept, file, metadata={"format": "pt"})


def change_json(path: Path, **values: Any) -> None:
    """Set entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_weights_under_other_names_are_missing(folder: Path) -> None:
    change_weights(folder, lambda name: f"network.{name}")
    with pytest.raises(TeacherError, match=r"lacks \d+ of the model.s \d+ weights, such as .*it has network\."):
        check(folder)


def test_one_missing_layer_is_named(folder: Path) -> None:
    change_weights(folder, lambda name: None if "layer.1.output.dense.bias" in name else name)
    with pytest.raises(TeacherError, match=r"lacks 1 of .*layer\.1\.output\.dense\.bias"):
        check(folder)


def test_a_pooler_is_needed_by_its_own_pooling_alone(folder: Path) -> None:
    change_weights(folder, lambda name: None if name.startswith("pooler.") else name)
    with pytest.raises(TeacherError, match=r"lacks 2 of .*pooler.*another pooling"):
        check(folder, pooling="pooler")
    check(folder, pooling="mean")
    check(folder)


def test_a_teacher_without_pooling_gives_no_sentence_embedding(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([modules[0], modules[2]]))
    for pooling in ("auto", "mean"):
        with pytest.raises(TeacherError, match=r"give no sentence embedding.*add a Pooling module"):
            check(folder, pooling=pooling)


def test_a_token_beyond_the_matrix_is_named(folder: Path) -> None:
    tokenizer = load_tokenizer(folder).backend_tokenizer
    tokenizer.add_special_tokens(["[NEW]"])
    tokenizer.save(str(folder / "tokenizer.json"))
    check(folder)  # no text is read as a special token
    tokenizer.add_tokens(["periwinkle"])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(TeacherError, match="has 1 tokens, such as 'periwinkle'"):
        check(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "modules.json"])
def test_a_git_lfs_pointer_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text(POINTER)
    with pytest.raises(TeacherError, match=rf"{name} is a Git LFS pointer.*git lfs pull"):
        resolve(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "modules.json", "1_Pooling/config.json"])
def test_a_file_that_is_cut_short_is_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(TeacherError, match=rf"{name} is damaged or cut short"):
        resolve(folder)


def test_a_tokenizer_that_is_cut_short_is_named(folder: Path) -> None:
    content = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(content[: len(content) // 2])
    with pytest.raises(TeacherError, match="tokenizer can't be read"):
        check(folder)


def test_an_adapter_is_no_teacher(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "them/base"}')
    with pytest.raises(TeacherError, match=r"an adapter.*merge it into its base model them/base"):
        resolve(folder)


def test_pickled_weights_of_a_later_module_need_consent_and_count(folder: Path) -> None:
    import torch

    (folder / "3_Dense").mkdir()
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([*modules, dense]))
    (folder / "3_Dense" / "config.json").write_text('{"in_features": 32, "out_features": 8}')
    identities = set()
    for value in (0.0, 1.0):
        weights = {"linear.weight": torch.full((8, 32), value), "linear.bias": torch.zeros(8)}
        torch.save(weights, folder / "3_Dense" / "pytorch_model.bin")
        with pytest.raises(TeacherError, match=r"3_Dense holds no weights in safetensors.*allow_pickled_weights"):
            resolve(folder)
        allowed = resolve_teacher(str(folder), None, known_commits=folder / "none.json", allow_pickled_weights=True)
        identities.add(allowed.identity["files_sha256"])
    assert len(identities) == 2


def test_a_module_outside_of_the_folder_is_refused(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([modules[0], {**modules[1], "path": "../1_Pooling"}]))
    with pytest.raises(TeacherError, match="leads out of the teacher's folder"):
        resolve(folder)


def test_a_checkpoint_below_is_no_part_of_a_teacher_but_its_modules_are(folder: Path) -> None:
    before = resolve(folder).identity
    (folder / "checkpoint-70").mkdir()
    (folder / "checkpoint-70" / "model.safetensors").write_bytes(b"unfinished")
    assert resolve(folder).identity == before
    change_json(folder / "1_Pooling" / "config.json", include_prompt=False)
    assert resolve(folder).identity != before


def test_a_transformer_in_a_folder_of_its_own_is_found(folder: Path) -> None:
    (folder / "own").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "modules.json"]:
        path.rename(folder / "own" / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([{**modules[0], "path": "own"}, *modules[1:]]))
    check(folder)
    assert resolve(folder).dimensions == 32


def test_a_vocabulary_without_tokenizer_json_is_converted(folder: Path) -> None:
    vocabulary = sorted((number, token) for token, number in load_tokenizer(folder).get_vocab().items())
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TeacherError, match=r"no tokenizer\.json.*save_pretrained"):
        check(folder)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for _, token in vocabulary))
    change_json(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    check(folder)
    assert len(load_tokenizer(folder)("a house")["input_ids"]) > 3


def test_code_in_another_repository_is_refused(folder: Path) -> None:
    change_json(folder / "config.json", model_type="own", auto_map={"AutoModel": "them/code--own.Own"})
    with pytest.raises(TeacherError, match="another repository, them/code"):
        check(folder, trust_remote_code=True)


def test_the_teachers_prompts_are_said_unless_one_is_used(folder: Path) -> None:
    prompts = {"prompts": {"ask": "ask: ", "none": ""}, "default_prompt_name": "ask"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert "ask 'ask: ' (its default)" in str(resolve(folder).prompts_note(None))
    assert resolve(folder).prompts_note("tell: ") is None


def test_a_teacher_that_reads_messages_is_refused_and_one_that_only_has_a_template_is_not(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}")
    check(folder)
    way = {"method": "forward", "method_output_name": "last_hidden_state"}
    ways = {"text": way, "message": {**way, "format": "flat"}}
    path = folder / "sentence_bert_config.json"
    change_json(path, modality_config=ways, module_output_name="token_embeddings")
    with pytest.raises(TeacherError, match=r"through a chat template.*keep 'text' alone in the modality_config"):
        check(folder)
    change_json(path, modality_config={"text": way})
    check(folder)
