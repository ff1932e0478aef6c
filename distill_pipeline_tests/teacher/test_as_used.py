"""A teacher's rows are those that sentence_transformers gives, for each family of tokenizer and each setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from distill_pipeline.store.embeddings import unit_rows
from distill_pipeline.teacher.encoding import sentence_ids
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline.teacher.teacher import load_teacher
from distill_pipeline.teacher.tokenizer import load_tokenizer
from distill_pipeline.vocabulary.vocabulary import build_vocabulary, build_word_vocabulary
from distill_pipeline_tests.teachers import SPECIAL, build_bert, build_modernbert, build_unigram, save_bert, train

WORDS = ["garden", "Winter", "long road"]
TEXTS = ["The Garden is long.", "a winter road", "bread"]


def build_end_of_word(folder: Path) -> Path:
    """Write a teacher whose tokenizer is a byte-level BPE that marks the ends of words, as CLIP's does."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = pre_tokenizers.Split(Regex(r"[\p{L}]+|[^\s\p{L}]"), "removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    train(tokenizer, trainer)
    return save_bert(folder, tokenizer)


def build_byte_fallback(folder: Path) -> Path:
    """Write a teacher whose tokenizer is a BPE of SentencePiece's, as Gemma's is: bytes for unknown characters."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fallbacks = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=[*SPECIAL, *fallbacks], show_progress=False)
    train(tokenizer, trainer)
    written = json.loads(tokenizer.to_str())
    written["added_tokens"] = [token for token in written["added_tokens"] if token["content"] in SPECIAL]
    return save_bert(folder, Tokenizer.from_str(json.dumps(written)))


@pytest.mark.parametrize("prompt", [None, "find this: "])
@pytest.mark.parametrize("setting", ["plain", "do_lower_case", "include_prompt", "named prompts"])
@pytest.mark.parametrize("build", [build_bert, build_modernbert, build_unigram, build_end_of_word, build_byte_fallback])
def test_rows_of_entries_and_texts_are_the_librarys(
    build: Callable[[Path], Path], setting: str, prompt: str | None, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = build(tmp_path / "teacher")
    named = {"prompts": {"ask": "what is "}, "default_prompt_name": "ask"} if setting == "named prompts" else {}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(named))
    if setting == "do_lower_case":
        path, changed = folder / "sentence_bert_config.json", {"do_lower_case": True}
    else:
        path, changed = folder / "1_Pooling" / "config.json", {"include_prompt": setting != "include_prompt"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    source = resolve_teacher(str(folder), None, known_commits=tmp_path / "teachers.json")
    teacher = load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False, prompt=prompt)
    library = SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def expected(texts: list[str]) -> npt.NDArray[np.floating]:
        return unit_rows(np.asarray(library.encode(texts, prompt=prompt or ""), dtype=np.float32))

    def nearest(rows: npt.NDArray[np.floating], texts: list[str]) -> float:
        return float((unit_rows(rows) * expected(texts)).sum(axis=1).min())

    # Rows of texts, and those that the quality report compares with.
    assert nearest(teacher.rows(sentence_ids(folder, TEXTS, prompt=prompt)), TEXTS) > 0.9999
    assert nearest(teacher.encode(TEXTS, prompt), TEXTS) > 0.9999
    vocabulary = build_word_vocabulary(folder, count=20, words=WORDS, lowercase=False, prompt=prompt)
    entries = [row for encoding in vocabulary.tokenizer.encode_batch(WORDS) for row in encoding.ids]
    rows = teacher.rows([vocabulary.teacher_ids[row] for row in entries])
    # An entry is read as within a sentence, after a space, which a prompt ends with.
    assert nearest(rows, WORDS if prompt else [f" {word}" for word in WORDS]) > 0.999
    # vocabulary=teacher: a token is read as the text that it stands for.
    tokens = [ids for ids in build_vocabulary(folder, prompt=prompt).teacher_ids if len(ids) > 2][::10]
    decode = load_tokenizer(folder).backend_tokenizer.decode
    texts = [decode([ids[-2]]).replace("</w>", "") for ids in tokens]
    texts = [text.strip() for text in texts] if prompt else texts
    alone = [n for n, ids in enumerate(sentence_ids(folder, texts, prompt=prompt)) if ids == tokens[n]]
    assert len(alone) > 10
    assert nearest(teacher.rows([tokens[n] for n in alone]), [texts[n] for n in alone]) > 0.999


def test_an_entry_longer_than_the_teacher_reads_is_cut(tmp_path: Path) -> None:
    folder = build_bert(tmp_path / "teacher")
    long = " ".join(["garden"] * 300)
    vocabulary = build_word_vocabulary(folder, count=20, words=[long])
    lengths = [len(ids) for ids in vocabulary.teacher_ids]
    assert max(lengths) == 128
    assert sentence_ids(folder, [long], prompt=None)[0] in vocabulary.teacher_ids
