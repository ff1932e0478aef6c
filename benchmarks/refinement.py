"""The closed-form refinement against gradient descent on the same texts: quality and seconds, side by side.

    python -m benchmarks.refinement RECIPE [--set pairs:FILE ...] [--epochs 8]

The recipe must have been run. Gradient descent is tokenlearn's method (Minish Lab): rows move so that the mean of a
text's rows comes close to the teacher's embedding on its principal directions, by cosine or by a contrastive loss,
from rows at random or from the teacher's rows weighted by frequency. It gets several learning rates, each stopped once
an epoch brings no better agreement on held-out texts; the best is shown, as the closed form shows its best penalty.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import report
from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.fitting.problem import TextEmbeddings, build_problem, fit_directions
from distill_pipeline.fitting.refining import held_out_agreement
from distill_pipeline.fitting.ridge import solve_ridge, whiten
from distill_pipeline.fitting.settings import METHODS, fit_settings
from distill_pipeline.fitting.shares import TokenShares, token_shares
from distill_pipeline.fitting.tuning import tune_similarities
from distill_pipeline.fitting.weightings import sif_weights
from distill_pipeline.quality.labelled import score_set
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.vocabulary.vocabulary import read_vocabulary

Matrix = npt.NDArray[np.float32]
Method = Callable[[], Iterator[tuple[str, Matrix]]]
"""Yields what was tried: a setting and the rows it gave."""

TEXTS_PER_STEP = 512
STEPS = 60
RATES = (0.01, 0.03, 0.1)
"""Of Adam, relative to the root mean square of the rows to begin with."""


class Bench:
    """A recipe's fit to texts, and the measure of all methods."""

    def __init__(self, name: str, sets: Sequence[str]) -> None:
        home = Home(default_home())
        recipe = home.recipe(name)
        keys = stage_keys(recipe, find_teacher(home, recipe).identity)
        vocabulary, entries, texts = (
            home.store.get(keys[stage]) for stage in ("vocabulary", "token_embeddings", "text_embeddings")
        )
        text_rows = TextEmbeddings(Embeddings.of_parts(texts.folder), texts.facts["groups"])
        self.sets, self.vocabulary, self.settings = sets, read_vocabulary(vocabulary.folder), fit_settings(recipe)
        components, self.keep = fit_directions(text_rows, self.settings)
        rows = Embeddings.of_parts(entries.folder)
        self.problem = build_problem(self.vocabulary, rows, text_rows, components, self.settings)
        self.train = np.flatnonzero(~self.problem.held_out)
        self.shares, self.targets = self.problem.shares.select(self.train), self.problem.targets[self.train]
        self.teacher = text_rows.centred()[self.train]
        self._measured: tuple[Matrix | None, dict[str, float]] = (None, {})

    def finished(self, rows: Matrix) -> Matrix:
        """Return the rows on the directions that the student keeps, whitened as the refinement does."""
        return whiten(rows, self.problem.shares, self.settings.whitening, self.keep)

    def agreement(self, rows: Matrix) -> dict[str, float]:
        """Compare with the teacher on held-out texts, once for the same rows."""
        if self._measured[0] is not rows:
            self._measured = (rows, held_out_agreement(self.problem, self.finished(rows)))
        return self._measured[1]

    def measure(self, name: str, method: Method) -> dict[str, Any]:
        """Try a method's settings; return and print the best one's agreement and scores, and the processor's seconds.

        The seconds are processor time, so that a busy machine doesn't count, without that of measuring agreement.
        """
        best: dict[str, Any] = {}
        chosen, spent, started = self.problem.start, 0.0, time.process_time()
        for setting, rows in method():
            spent += time.process_time() - started
            agreement = self.agreement(rows)
            if not best or value_of(agreement) > value_of(best):
                best, chosen = {"setting": setting, **agreement}, rows
            started = time.process_time()
        result = {"method": name, "processor_seconds": round(spent, 1), **best}
        rows = self.finished(chosen)
        counted = self.problem.groups >= 0
        for one in self.sets:
            result[one.rsplit("/", 1)[-1]] = score_set(
                one, lambda texts: token_shares(self.vocabulary.tokenizer, texts, counted=counted) @ rows
            )
        print("  ".join(f"{key}={value}" for key, value in result.items()), flush=True)
        return result


def value_of(agreement: dict[str, Any]) -> float:
    """Return the sum by which settings are compared."""
    return float(agreement["similarity_correlation"] + agreement["neighbour_overlap"])


def main() -> None:
    """Compare, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    bench = Bench(arguments.recipe, arguments.sets)
    start = bench.problem.start
    unweighted = start / np.maximum(bench.problem.weights, 1e-6)[:, None]
    weighted: Matrix = (unweighted * sif_weights(bench.vocabulary.frequencies, 1e-3)[:, None]).astype(np.float32)
    noise: Matrix = np.random.default_rng(0).normal(size=weighted.shape).astype(np.float32)

    train = bench.problem.importance * ~bench.problem.held_out
    train_shares = TokenShares.of([bench.shares])

    def ridge() -> Iterator[tuple[str, Matrix]]:
        rows = start
        for penalty in METHODS["generated"]["penalties"]:
            rows = solve_ridge(
                bench.problem.shares, bench.problem.targets, start, penalty, importance=train, guess=rows
            ).rows
            yield f"penalty {penalty}", rows

    def tuned() -> Iterator[tuple[str, Matrix]]:
        for setting, rows in ridge():
            moved = rows.copy()
            tune_similarities(moved, train_shares, bench.teacher, steps=STEPS, seed=0)
            yield setting, moved

    def descend(begin: Matrix, loss: str) -> Method:
        return lambda: descents(bench, begin, loss, arguments.epochs)

    methods: dict[str, Method] = {
        "start of the refinement": lambda: iter([("", start)]),
        "ridge regression": ridge,
        "ridge regression, similarity steps": tuned,
        "gradient descent, cosine, weighted rows": descend(weighted, "cosine"),
        "gradient descent, contrastive, weighted rows": descend(weighted, "contrastive"),
        "gradient descent, cosine, the refinement's start": descend(start, "cosine"),
        "gradient descent, cosine, random rows": descend(noise, "cosine"),
    }
    table = [bench.measure(name, method) for name, method in methods.items()]
    report(f"refinement-{arguments.recipe}", table)


def descents(bench: Bench, begin: Matrix, loss: str, epochs: int) -> Iterator[tuple[str, Matrix]]:
    """Yield the rows after each epoch at each learning rate, until an epoch makes the agreement no better."""
    for rate in RATES:
        best = -np.inf
        for epoch, rows in enumerate(gradient_descent(begin, bench, loss=loss, rate=rate), start=1):
            yield f"rate {rate}, epoch {epoch}", rows
            value = value_of(bench.agreement(rows))
            if value <= best or epoch == epochs:
                break
            best = value


def gradient_descent(begin: Matrix, bench: Bench, *, loss: str, rate: float) -> Iterator[Matrix]:
    """Train the rows with Adam, whose moments move where a batch holds a row; yields them after each epoch."""
    import torch
    from torch.nn import functional

    rows = torch.tensor(begin).requires_grad_(True)
    optimizer = torch.optim.SparseAdam([rows], lr=rate * float(np.sqrt((begin**2).mean())))
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(len(bench.targets))
        for first in range(0, len(order), TEXTS_PER_STEP):
            texts = order[first : first + TEXTS_PER_STEP]
            batch = bench.shares[texts]
            means = functional.embedding_bag(
                torch.from_numpy(batch.indices.astype(np.int64)), rows,
                torch.from_numpy(batch.indptr[:-1].astype(np.int64)), mode="sum", sparse=True,
                per_sample_weights=torch.from_numpy(batch.data),
            )  # fmt: skip
            wanted = torch.from_numpy(bench.targets[texts])
            cosines = functional.normalize(means, dim=1) @ functional.normalize(wanted, dim=1).T
            if loss == "cosine":
                error = (1 - cosines.diagonal()).mean()
            else:
                error = functional.cross_entropy(cosines / 0.05, torch.arange(len(cosines)))
            optimizer.zero_grad()
            error.backward()  # type: ignore[no-untyped-call]
            optimizer.step()  # type: ignore[no-untyped-call]
        yield rows.detach().numpy().copy()


if __name__ == "__main__":
    main()
