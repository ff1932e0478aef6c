"""Seconds and memory of choosing texts and of the whole fit as they grow: is time linear, and memory bounded?

    python -m benchmarks.fit [--texts 500000 1000000 2000000 5000000]

Texts of 20 words by Zipf's law over 120,000 entries, and a teacher of 256 numbers whose embedding of a text is the
mean of its words' hidden vectors and noise. All lies on disk as the stages leave it, one part made at a time. The fit
is that of a corpus: 256 directions, of which 128 are kept, and penalty 0.4. Chosen is a sample of as many passages as
there are texts, one in fifty of which is held out. Each size is a process of its own, set against the first.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.machine import anonymous_peak, in_own_process, report
from distill_pipeline.fitting.problem import TextEmbeddings
from distill_pipeline.fitting.refining import refine_rows
from distill_pipeline.fitting.settings import FitSettings
from distill_pipeline.store.embeddings import Embeddings, embedding_array, part_name, write_table
from distill_pipeline.texts.corpus import sample_passages
from distill_pipeline.vocabulary.frequencies import zipf_probabilities
from distill_pipeline.vocabulary.vocabulary import Vocabulary
from distill_pipeline.vocabulary.words import PADDING, UNKNOWN

ENTRIES, WORDS_PER_TEXT, DIMENSIONS, KEPT = 120_000, 20, 256, 128
TEXTS_PER_PART = 50_000
SETTINGS = FitSettings(
    pca_dims=KEPT,
    weighting="fitted",
    whitening=0.3,
    space="own",
    seed=0,
    penalties=(0.4,),
    similarity_steps=0,
    balanced=False,
)


def make_vocabulary() -> Vocabulary:
    """Return a vocabulary of words of letters."""
    letters = np.array(list("abcdefghijklmnopqrst"))
    words = ["".join(letters[number // 20 ** np.arange(4) % 20]) for number in range(ENTRIES - 2)]
    tokens = [PADDING, UNKNOWN, *words]
    tokenizer = Tokenizer(models.WordPiece({token: row for row, token in enumerate(tokens)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(tokens[:2])
    frequencies = np.concatenate([[0, 0], zipf_probabilities(ENTRIES - 2)])
    return Vocabulary(tokens, [], frequencies, "Zipf's law", tokenizer)


def write_inputs(folder: Path, vocabulary: Vocabulary, texts: int) -> tuple[Embeddings, TextEmbeddings]:
    """Write the teacher's embeddings of entries and texts."""
    random = np.random.default_rng(0)
    strengths = (1 / np.sqrt(1 + np.arange(DIMENSIONS))).astype(np.float32)
    hidden = random.standard_normal((ENTRIES, DIMENSIONS), dtype=np.float32) * strengths
    for name in ("entries", "texts"):
        (folder / name).mkdir()
    noisy = hidden + random.standard_normal(hidden.shape, dtype=np.float32) * strengths
    write_table(folder / "entries" / part_name(0), {"embedding": embedding_array(noisy)})
    tokens = np.array(vocabulary.tokens)
    for number, (first, last) in enumerate(pairwise([*range(0, texts, TEXTS_PER_PART), texts])):
        words = random.choice(ENTRIES, (last - first, WORDS_PER_TEXT), p=vocabulary.frequencies)
        rows = np.stack([hidden[text].mean(axis=0) for text in words])
        rows += random.standard_normal(rows.shape, dtype=np.float32) * strengths * 0.1
        columns = {"text": list(map(" ".join, tokens[words])), "embedding": embedding_array(rows)}
        write_table(folder / "texts" / part_name(number), columns)
    entries, sentences = (Embeddings.of_parts(folder / name) for name in ("entries", "texts"))
    return entries, TextEmbeddings(sentences, [texts])


def fit_once(texts: int) -> dict[str, Any]:
    """Make so many texts, choose passages among them, fit to all, and return what that cost."""
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = make_vocabulary()
        entries, sentences = write_inputs(Path(folder), vocabulary, texts)
        with anonymous_peak() as peak:
            used = time.process_time()
            sample_passages([f"{folder}/texts/*.parquet"], texts, seed=0, folder=Path(folder))
            choosing, chosen = time.process_time() - used, peak()
        with anonymous_peak() as peak:
            started, used = time.perf_counter(), time.process_time()
            facts = refine_rows(vocabulary, entries, sentences, Path(folder), SETTINGS)["refinement"]
            seconds, processor = time.perf_counter() - started, time.process_time() - used
            highest = peak()
    return {
        "texts": texts,
        "choosing, processor s": round(choosing, 1),
        "choosing, peak MB": round(chosen),
        "seconds": round(seconds, 1),
        "processor s": round(processor, 1),
        "peak MB": round(highest),
        "iterations": facts["iterations"],
        "r squared": round(facts["r_squared"], 4),
    }


def main() -> None:
    """Measure each size, or be one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, nargs="+", default=[500_000, 1_000_000, 2_000_000, 5_000_000])
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(fit_once(options.alone)))
        return
    lines = [in_own_process(__file__, ["--alone", str(texts)]) for texts in options.texts]
    for line in lines:
        per_text = line["processor s"] / line["texts"] / (lines[0]["processor s"] / lines[0]["texts"])
        line["processor s per text, to the first"] = round(per_text, 2)
    report("fit", lines, entries=ENTRIES, words_per_text=WORDS_PER_TEXT, directions=DIMENSIONS)


if __name__ == "__main__":
    main()
