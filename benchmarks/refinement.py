"""The closed-form refinement against gradient descent on the same texts: quality and seconds, side by side.

    python benchmarks/refinement.py RECIPE [--set pairs:FILE ...] [--epochs 3]

The recipe must have been run. Gradient descent is tokenlearn's method (Minish Lab): rows move so that the mean of a
text's rows comes close to the teacher's embedding on its principal directions, by cosine or by a contrastive loss,
from rows at random or from the teacher's rows with Zipf weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.distillation.labelled import score
from distill_pipeline.distillation.parts import Embeddings
from distill_pipeline.distillation.quality import compare
from distill_pipeline.distillation.refined_reduction import Problem, Sentences, Settings, fit_directions, pose
from distill_pipeline.distillation.refinement import solve_ridge, token_shares, whiten
from distill_pipeline.distillation.sif import sif_weights
from distill_pipeline.distillation.source import find_teacher
from distill_pipeline.distillation.tuning import tune_similarities
from distill_pipeline.distillation.vocabulary import Vocabulary, read_vocabulary
from distill_pipeline.distillation.words import entry_groups
from distill_pipeline.home import Home, default_home
from distill_pipeline.stages import stage_keys

Matrix = npt.NDArray[np.float32]
TEXTS_PER_STEP = 512
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Compare, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    vocabulary, problem, sentences, keep = load(arguments.recipe)
    train = np.flatnonzero(~problem.held_out)
    shares, targets = problem.shares[train], problem.targets[train]
    unweighted: Matrix = problem.start / np.maximum(problem.weights, 1e-6)[:, None]
    sif = sif_weights(vocabulary.frequencies, 1e-3).astype(np.float32)
    weighted: Matrix = (unweighted * sif[:, None]).astype(np.float32)
    noise: Matrix = np.random.default_rng(0).normal(size=weighted.shape).astype(np.float32)

    def ridge() -> Matrix:
        return solve_ridge(shares, targets, problem.start, 0.2).rows

    def tuned() -> Matrix:
        return tune_similarities(ridge(), shares, sentences[train], steps=60, seed=0)[0]

    def descend(start: Matrix, loss: str) -> Callable[[], Matrix]:
        return lambda: gradient_descent(start, shares, targets, loss=loss, epochs=arguments.epochs)

    methods: dict[str, Callable[[], Matrix]] = {
        "start of the refinement": lambda: problem.start,
        "ridge regression": ridge,
        "ridge regression, similarity steps": tuned,
        "gradient descent, cosine, weighted rows": descend(weighted, "cosine"),
        "gradient descent, contrastive, weighted rows": descend(weighted, "contrastive"),
        "gradient descent, cosine, random rows": descend(noise, "cosine"),
    }
    table = [measure(name, make, problem, (shares, keep), vocabulary, arguments.sets) for name, make in methods.items()]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "refinement.json").write_text(json.dumps(table, indent=1))


def load(name: str) -> tuple[Vocabulary, Problem, Matrix, int]:
    """Return a recipe's vocabulary, the problem that its refinement solves, the centred teacher, and dims to keep."""
    home = Home(default_home())
    recipe = home.recipe(name)
    keys = stage_keys(recipe, find_teacher(home, recipe).identity)
    outputs = {stage: home.store.get(keys[stage]) for stage in list(keys)[:3]}
    vocabulary = read_vocabulary(outputs["tokenizer_vocabulary"].folder)
    entries = Embeddings.of_parts(outputs["teacher_token_embeddings"].folder)
    texts = outputs["teacher_sentence_embeddings"]
    sentences = Sentences(Embeddings.of_parts(texts.folder), texts.facts["groups"])
    settings = Settings(
        pca_dims=recipe.pca_dims or "auto", weighting="fitted", weighting_fields={}, penalty=0.2,
        directions="sentences", remove_directions=0, whitening=recipe.whitening, similarity_steps=0, seed=0,
        clusters=None,
    )  # fmt: skip
    components, keep = fit_directions(entries, sentences, settings)
    groups = entry_groups(vocabulary.tokenizer)
    return vocabulary, pose(vocabulary, groups, entries, sentences, (components, settings)), sentences.centred(), keep


def gradient_descent(start: Matrix, shares: Any, targets: Matrix, *, loss: str, epochs: int) -> Matrix:
    """Train the rows with Adam; returns float32 (entries, dims)."""
    import torch
    from torch.nn import functional

    rows = torch.tensor(start).requires_grad_(True)
    optimizer = torch.optim.Adam([rows], lr=1e-3 * float(np.abs(start).mean()) / 0.05)
    random = np.random.default_rng(0)
    for _ in range(epochs):
        order = random.permutation(len(targets))
        for first in range(0, len(order), TEXTS_PER_STEP):
            batch = shares[order[first : first + TEXTS_PER_STEP]]
            counts = torch.from_numpy(batch.indices.astype(np.int64))
            means = functional.embedding_bag(
                counts, rows, torch.from_numpy(batch.indptr[:-1].astype(np.int64)), mode="sum",
                per_sample_weights=torch.from_numpy(batch.data),
            )  # fmt: skip
            wanted = torch.from_numpy(targets[order[first : first + TEXTS_PER_STEP]])
            cosines = functional.normalize(means, dim=1) @ functional.normalize(wanted, dim=1).T
            if loss == "cosine":
                error = (1 - cosines.diagonal()).mean()
            else:
                error = functional.cross_entropy(cosines / 0.05, torch.arange(len(cosines)))
            optimizer.zero_grad()
            error.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return rows.detach().numpy()


def measure(
    name: str, make: Callable[[], Matrix], problem: Problem, how: tuple[Any, int], vocabulary: Vocabulary,
    sets: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """Make the rows, and return and print seconds, agreement on held-out texts, and scores."""
    shares, keep = how
    started = time.monotonic()
    made = make()
    seconds = time.monotonic() - started
    rows = whiten(made, shares, 0.3, keep)
    skip = np.flatnonzero(entry_groups(vocabulary.tokenizer) < 0)
    agreement = compare(problem.teacher, problem.shares[problem.held_out] @ rows)
    result = {"method": name, "seconds": round(seconds, 1), **agreement}
    for one in sets:
        result[one.rsplit("/", 1)[-1]] = score(
            one, lambda texts: token_shares(vocabulary.tokenizer, texts, skip=skip) @ rows
        )
    print("  ".join(f"{key}={value}" for key, value in result.items()), flush=True)
    return result


if __name__ == "__main__":
    main()
