"""Static queries against the teacher's documents: what they find in an index of the teacher's vectors."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.quality.agreement import NEIGHBOURS, Encode
from distill_pipeline.quality.labelled import read_search, score_sets
from distill_pipeline.quality.scores import ndcg
from distill_pipeline.store.embeddings import Embeddings, embedding_array, unit_rows, write_table

Rows = npt.NDArray[np.floating]
Project = Callable[[Rows], Rows]
"""Brings the teacher's vectors, float (n, teacher dims), into the space of the static queries."""


def is_search(name: str) -> bool:
    """Whether a labelled set holds queries and documents of its own."""
    return name.startswith("retrieval:")


def score_and_keep(name: str, encode: Encode, path: Path) -> list[dict[str, Any]]:
    """Return the teacher's scores on a labelled set; of a search, write its vectors to a path, the documents' first.

    Raises:
        DictionaryError, LabelledSetError: As `score_sets` does.
    """
    kept: list[npt.NDArray[np.float32]] = []

    def encode_and_keep(texts: Sequence[str]) -> Rows:
        kept.append(np.asarray(encode(texts), dtype=np.float32))
        return kept[-1]

    if not is_search(name):
        return score_sets([name], encode)
    scores = score_sets([name], encode_and_keep)
    write_table(path, {"embedding": embedding_array(np.concatenate(kept))})
    return scores


def score_search(name: str, encode: Encode, kept: Path, project: Project) -> dict[str, float | None]:
    """Return the figures of static queries against the teacher's documents of a set retrieval:FOLDER.

    `encode` is the student's, `kept` what `score_and_keep` wrote. The figures are those of `compare_search`, `score`,
    nDCG@10, and `error`, its standard error.
    """
    search = read_search(name)
    documents, teacher_queries = np.split(Embeddings([kept]).all(), [len(search.documents)])
    static = np.asarray(encode(search.queries))
    value, error = ndcg(static, project(documents), search.gains)
    compared = compare_search(static, teacher_queries, documents, project)
    return {"score": round(value, 6), "error": None if error is None else round(error, 6), **compared}


def compare_search(static: Rows, teacher_queries: Rows, documents: Rows, project: Project) -> dict[str, float]:
    """Compare static queries with the teacher's of the same texts, (queries, dims), over the teacher's documents.

    Returns:
        query_cosine: Mean cosine of a query's vector and the teacher's, projected.
        documents_shared: Share of the teacher's 10 nearest documents that are among the static query's 10. Documents
            that are the query itself, cosine 1, count for neither.
    """
    cosines = (unit_rows(static) * unit_rows(project(teacher_queries))).sum(axis=1)
    projected, units, teacher_units = project(documents), unit_rows(documents), unit_rows(teacher_queries)
    shared = []
    for row, query in zip(static, teacher_units, strict=True):
        wanted, found = units @ query, projected @ row
        found[wanted > _SAME] = wanted[wanted > _SAME] = -np.inf
        count = min(NEIGHBOURS, int(np.isfinite(wanted).sum()))
        shared.append(len(set(_nearest(wanted, count)) & set(_nearest(found, count))) / max(count, 1))
    return {"query_cosine": round(float(cosines.mean()), 6), "documents_shared": round(float(np.mean(shared)), 6)}


_SAME = 1 - 1e-6


def _nearest(similarities: npt.NDArray[np.floating], count: int) -> Iterator[int]:
    return iter(np.argsort(-similarities, kind="stable")[:count].tolist())
