"""Rows per second and peak anonymous memory of encoding a vocabulary, against model2vec.distill's encoding.

Each measurement is a process of its own; the sides alternate, so that both see the same machine. Teachers:
ModernBERT-base's shape with random weights, and the embedded MiniLM. Every row is `[CLS] token [SEP]`.

Where the package `openvino` is installed (no extra of this project brings it: `pip install openvino`), its bfloat16
engine encodes on a processor too: the whole model as it is converted from torch, 64 rows at a time.

On a GPU: `--device cuda --shape large`; `--tokens 32` or `--tokens 256` for texts of so many tokens instead of entries.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import anonymous_peak, device_seconds, find_teacher, in_own_process, matrix_ceiling, report
from distill_pipeline.fitting.parallel import slices

OPENVINO = "OpenVINO bfloat16"
SIDES = ("model2vec", "ours float32", "ours auto", OPENVINO)
_OPENVINO_ROWS = 64
"""At a time; 16, 256 and 512 were no faster."""

SHAPES: Mapping[str, Mapping[str, int]] = {
    "base": {},  # the configuration's defaults
    "large": {"hidden_size": 1024, "intermediate_size": 2624, "num_hidden_layers": 28, "num_attention_heads": 16},
}


def build_teacher(shape: str) -> Path:
    """Return a folder with a Sentence Transformer: a ModernBERT of a published shape with random weights."""
    import torch
    from transformers import ModernBertConfig, ModernBertModel

    from distill_pipeline_tests.teachers import SPECIAL, save_teacher, train_bpe

    folder = Path(tempfile.gettempdir()) / "distill-pipeline-bench" / f"modernbert-{shape}-shape"
    if not (folder / "modules.json").exists():
        torch.manual_seed(0)
        model = ModernBertModel(ModernBertConfig(**SHAPES[shape]))
        tokenizer, _ = train_bpe(len(SPECIAL) + 300)
        save_teacher(folder, model, tokenizer, normalize=True)
    return folder


def sequences(rows: int, tokens: int, vocabulary: int) -> list[list[int]]:
    """Return token ids of so many rows of so many tokens; each begins and ends with a special token."""
    inner = range(tokens - 2)
    return [[0, *(2 + (place + 7 * step) % (vocabulary - 2) for step in inner), 1] for place in range(rows)]


def side(
    name: str, teacher: str, rows: int, tokens: int, device: str, peak_megabytes: Callable[[], float]
) -> dict[str, Any]:
    """Encode on one side, timing all but the loading."""
    from transformers import AutoConfig

    ids = sequences(rows, tokens, AutoConfig.from_pretrained(teacher).vocab_size)
    started = time.perf_counter()
    if name == "model2vec":
        from model2vec.distill.inference import create_embeddings
        from transformers import AutoModel

        imported = peak_megabytes()
        # `distill` copies the teacher, in `reshape_embeddings`, before it encodes.
        model = copy.deepcopy(AutoModel.from_pretrained(teacher))
        weights = _linear_weights(model)
        with device_seconds(device) as on_device:
            loaded = time.perf_counter()
            create_embeddings(tokenized=ids, model=model, device=device, pad_token_id=0)
            finished = time.perf_counter()
        precision, min_cosine = "float32", None
    elif name == OPENVINO:
        imported = peak_megabytes()
        encode, weights = openvino_encoder(teacher, tokens)
        with device_seconds(device) as on_device:
            loaded = time.perf_counter()
            for block in slices(rows, _OPENVINO_ROWS):
                encode(ids[block])
            finished = time.perf_counter()
        precision, min_cosine = "bfloat16", None
    else:
        import sentence_transformers  # noqa: F401

        from distill_pipeline.teacher.encoding import EncodingWork, encode_to_parts, probe_sample, settle_precision
        from distill_pipeline.teacher.teacher import load_teacher

        imported = peak_megabytes()
        ours = load_teacher(find_teacher(teacher), pooling="mean", device=device, trust_remote_code=False)
        weights = _linear_weights(ours.backbone)
        setup = settle_precision(ours, "auto" if name == "ours auto" else "float32", probe_sample(ids))
        precision, min_cosine = setup.precision, setup.min_cosine_to_float32
        with tempfile.TemporaryDirectory() as folder, device_seconds(device) as on_device:
            loaded = time.perf_counter()
            encode_to_parts(EncodingWork(ids), ours, Path(folder))
            finished = time.perf_counter()
    return {
        "rows_per_second": rows / (finished - loaded),
        "load_seconds": loaded - started,
        "device_seconds": on_device[0] if on_device else None,
        "flop_per_row": 2 * tokens * weights,
        "peak_mb": peak_megabytes(),
        "imported_mb": imported,
        "precision": precision,
        "min_cosine": min_cosine,
    }


def openvino_encoder(teacher: str, tokens: int) -> tuple[Callable[[list[list[int]]], Any], int]:
    """Return what gives OpenVINO's rows of token ids, and the number of the model's linear weights."""
    import openvino
    import torch
    from transformers import AutoModel

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(teacher, attn_implementation="sdpa").eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return hidden.mean(1)

    pooled, example = Pooled(), torch.ones((2, tokens), dtype=torch.int64)
    with torch.no_grad():
        converted = openvino.convert_model(pooled, example_input={"input_ids": example, "attention_mask": example})
    compiled = openvino.Core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})

    def encode(ids: list[list[int]]) -> Any:
        block = np.array(ids, dtype=np.int64)
        return compiled({"input_ids": block, "attention_mask": np.ones_like(block)})[0]

    encode([[1] * tokens] * _OPENVINO_ROWS)  # allocates
    return encode, _linear_weights(pooled)


def _linear_weights(model: Any) -> int:
    """Return the number of weights in a model's linear layers."""
    import torch

    return sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Linear))


def compare(label: str, teacher: Path, rows: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Alternate the sides and return one line for each: medians over the rounds."""
    work = ["--tokens", str(options.tokens), "--device", options.device]
    with_openvino = options.device == "cpu" and find_spec("openvino")
    sides = [name for name in SIDES if name != OPENVINO or with_openvino]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    ceilings: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for _ in range(options.rounds):
        for name in sides:
            for dtype, values in ceilings.items():
                values.append(matrix_ceiling(dtype, options.device))
            # The same number of rows on each side: model2vec holds all of them in memory.
            arguments = ["--side", name, "--teacher", str(teacher), "--rows", str(rows), *work]
            found[name].append(in_own_process(__file__, arguments))
    baseline = found["model2vec"]
    lines = []
    for name, runs in found.items():
        rate = statistics.median(run["rows_per_second"] for run in runs)
        ceiling = max(ceilings[runs[0]["precision"]])
        ratios = [run["rows_per_second"] / other["rows_per_second"] for run, other in zip(runs, baseline, strict=True)]
        on_device = [run["device_seconds"] for run in runs if run["device_seconds"]]
        # A GPU's share is of its own time: meanwhile the CPU writes rows.
        product_rate = runs[0]["flop_per_row"] / 1e12 * (rows / statistics.median(on_device) if on_device else rate)
        peak = max(run["peak_mb"] for run in runs)
        lines.append(
            {
                "teacher": label,
                "side": name,
                "precision": runs[0]["precision"],
                "rows/s": round(rate, 1),
                "times model2vec": round(statistics.median(ratios), 2),
                "GPU seconds": round(statistics.median(on_device), 3) if on_device else None,
                "TFLOP/s": round(product_rate, 3),
                "ceiling TFLOP/s": round(ceiling, 3),
                "share of ceiling": round(product_rate / ceiling, 2),
                "peak anonymous MB": round(peak),
                "peak / model2vec": round(peak / max(run["peak_mb"] for run in baseline), 2),
                "above imports MB": round(_above_imports(runs)),
                "above / model2vec": round(_above_imports(runs) / _above_imports(baseline), 2),
                "min cosine": runs[0]["min_cosine"],
            }
        )
    return lines


def _above_imports(runs: list[dict[str, Any]]) -> float:
    return max(float(run["peak_mb"] - run["imported_mb"]) for run in runs)


def main() -> None:
    """Compare on both teachers, or be one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_368)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", choices=SHAPES, default="base", help="of the ModernBERT")
    parser.add_argument("--tokens", type=int, default=3, help="of each row")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--teacher", help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        with anonymous_peak() as peak:
            found = side(options.side, options.teacher, options.rows, options.tokens, options.device, peak)
        print(json.dumps(found))
        return
    lines = [
        *compare(f"ModernBERT-{options.shape} shape", build_teacher(options.shape), options.rows, options),
        *compare("all-MiniLM-L6-v2", find_teacher().folder, min(options.rows * 4, 30_522), options),
    ]
    facts = {name: getattr(options, name) for name in ("rows", "rounds", "tokens", "device")}
    report("encode", lines, **facts)


if __name__ == "__main__":
    main()
