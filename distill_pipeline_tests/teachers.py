"""Small real teachers with random weights: a ModernBERT with a byte-level BPE tokenizer, a BERT with WordPiece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from distill_pipeline.quality.agreement import evaluation_texts
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline.teacher.teacher import Teacher, load_teacher

SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
HIDDEN = 32


def build_modernbert(folder: Path, *, entries: int = 700, normalize: bool = True, **fields: int) -> Path:
    """Write a ModernBERT Sentence Transformer with mean pooling, its configuration small but for the fields given.

    Returns the folder.
    """
    import torch
    from transformers import ModernBertConfig, ModernBertModel

    tokenizer, ids = train_bpe(entries)
    small = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "local_attention": 32,
        "pad_token_id": ids["[PAD]"],
        "cls_token_id": ids["[CLS]"],
        "sep_token_id": ids["[SEP]"],
        "bos_token_id": ids["[CLS]"],
        "eos_token_id": ids["[SEP]"],
        "initializer_range": 0.3,
    }
    torch.manual_seed(0)
    return save_teacher(
        folder, ModernBertModel(ModernBertConfig(**{**small, **fields})), tokenizer, normalize=normalize
    )


def train_bpe(entries: int) -> tuple[Tokenizer, dict[str, int]]:
    """Train a byte-level BPE tokenizer; returns it and its special tokens' ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return tokenizer, train(tokenizer, trainer)


def build_bert(folder: Path, *, entries: int = 500) -> Path:
    """Write a BERT Sentence Transformer with mean pooling, lower-case WordPiece and a pooler."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=entries, special_tokens=[*SPECIAL, "[unused0]", "[unused1]"], show_progress=False
    )
    train(tokenizer, trainer)
    return save_bert(folder, tokenizer)


def train(tokenizer: Tokenizer, trainer: Any) -> dict[str, int]:
    """Train a tokenizer that frames texts with [CLS] and [SEP]; returns its special tokens' ids."""
    tokenizer.train_from_iterator(evaluation_texts(), trainer)
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    return ids


def save_teacher(folder: Path, model: Any, tokenizer: Tokenizer, *, normalize: bool) -> Path:
    """Write a Sentence Transformer with mean pooling; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {f"{token.strip('[]').lower()}_token": token for token in SPECIAL}
    _write(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128, **special},
    )
    module = "sentence_transformers.models."
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{module}Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{module}Pooling"},
    ]
    (folder / "1_Pooling").mkdir()
    _write(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": model.config.hidden_size, "pooling_mode_mean_tokens": True},
    )
    if normalize:
        modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{module}Normalize"})
        (folder / "2_Normalize").mkdir()
        _write(folder / "2_Normalize" / "config.json", {})
    _write(folder / "modules.json", modules)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False})
    return folder


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def build_unigram(folder: Path) -> Path:
    """Write a BERT Sentence Transformer whose tokenizer is a Unigram one that marks spaces, as XLM-RoBERTa's does."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=SPECIAL, unk_token="[UNK]", show_progress=False)
    train(tokenizer, trainer)
    return save_bert(folder, tokenizer)


def save_bert(folder: Path, tokenizer: Tokenizer) -> Path:
    """Write a BERT Sentence Transformer with this tokenizer; returns the folder."""
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        pad_token_id=tokenizer.token_to_id("[PAD]"),
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    return save_teacher(folder, BertModel(config), tokenizer, normalize=True)


def load_plainly(folder: Path) -> Teacher:
    """Load a folder's teacher on the CPU with its own pooling."""
    source = resolve_teacher(str(folder), None, known_commits=folder / "none.json")
    return load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False)
