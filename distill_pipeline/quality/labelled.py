"""Scores on labelled sets: pairs with a similarity, classes, clusters, and queries with relevant documents.

A set is named KIND:PATH. Files are TSV without quoting (also gzipped) or Parquet, with a header.

| kind | path | columns | score |
|---|---|---|---|
| pairs | a file | two of text, and `score` | Spearman correlation of cosine and score |
| classification | a file | `text`, `label`, perhaps `split` (train, test) | accuracy of a logistic regression |
| clustering | a file | `text`, `label` | V-measure of k-means |
| retrieval | a folder | corpus `id`, `text`; queries `id`, `text`; qrels `qid`, `did`, `score` | nDCG@10 |
| mteb | a task's name | | the task's main score (extra `mteb`) |
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from distill_pipeline.errors import DistillError, install_hint
from distill_pipeline.quality.agreement import Encode
from distill_pipeline.store.disk import sha256_of
from distill_pipeline.store.embeddings import unit_rows

_TOP = 10
_PAIR_COLUMNS = (("sentence1", "sentence2"), ("text1", "text2"), ("word1", "word2"))
"""Usual names of the two texts; without them, the first two columns of text are taken."""


class LabelledSetError(DistillError):
    """A labelled set that can't be used; the message says which and what is missing."""


def score_set(name: str, encode: Encode) -> float:
    """Return a model's score on a set KIND:PATH, from 0 to 1 (correlations from -1).

    Raises:
        LabelledSetError: The kind is unknown, or a file or column is missing.
    """
    set_files(name)
    kind, _, where = name.partition(":")
    if kind == "mteb":
        return _mteb(where, encode)
    return round(_KINDS[kind](Path(where), lambda texts: unit_rows(np.asarray(encode(texts)))), 6)


def set_files(name: str) -> list[Path]:
    """Return the files of a set, sorted; none for an MTEB task. Raises `LabelledSetError` if the set doesn't exist."""
    kind, _, where = name.partition(":")
    path = Path(where)
    if kind == "mteb":
        return []
    if kind not in _KINDS:
        raise LabelledSetError(f"labelled set {name!r}: its kind must be one of {', '.join([*_KINDS, 'mteb'])}")
    if not path.exists():
        raise LabelledSetError(f"labelled set {name!r}: there is no {where}")
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def set_identity(name: str) -> dict[str, Any]:
    """Return a set's kind, its name without the path, and its files' sha256, which tell sets of one name apart."""
    kind, _, where = name.partition(":")
    contents = {path.name: sha256_of(path) for path in set_files(name)}
    return {"kind": kind, "set": where.rsplit("/", 1)[-1], "sha256": contents}


def _pairs(path: Path, encode: Encode) -> float:
    from scipy.stats import spearmanr

    table = _read(path, "score")
    kinds = (pa.string(), pa.large_string(), pa.string_view())  # polars writes the large one
    texts = [field.name for field in table.schema if field.type in kinds]
    texts = next((list(pair) for pair in _PAIR_COLUMNS if set(pair) <= set(texts)), texts)
    if len(texts) < 2:
        raise LabelledSetError(
            f"labelled set {path}: pairs need two columns of text; it has {', '.join(texts) or 'none'}"
        )
    first, second = (encode(table[name].to_pylist()) for name in texts[:2])
    cosines = (first * second).sum(axis=1)
    return float(spearmanr(cosines, pc.cast(table["score"], pa.float64()).to_numpy()).statistic)


def _classification(path: Path, encode: Encode) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    table = _read(path, "text", "label")
    rows, labels = encode(table["text"].to_pylist()), np.array(table["label"].to_pylist(), dtype=str)
    splits = np.array(table["split"].to_pylist() if "split" in table.column_names else [""] * len(labels))
    if {"train", "test"} <= set(splits):
        train, test = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
    else:
        train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    model = LogisticRegression(max_iter=300, C=10.0).fit(rows[train], labels[train])
    return float(model.score(rows[test], labels[test]))


def _clustering(path: Path, encode: Encode) -> float:
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import v_measure_score

    table = _read(path, "text", "label")
    rows, labels = encode(table["text"].to_pylist()), table["label"].to_pylist()
    models = [MiniBatchKMeans(len(set(labels)), random_state=seed, n_init=3, batch_size=2048) for seed in range(3)]
    return float(np.mean([v_measure_score(labels, model.fit_predict(rows)) for model in models]))


def _retrieval(folder: Path, encode: Encode) -> float:
    corpus, queries = _read(_part(folder, "corpus"), "id", "text"), _read(_part(folder, "queries"), "id", "text")
    gains: dict[str, dict[str, float]] = {}
    for record in _read(_part(folder, "qrels"), "qid", "did", "score").to_pylist():
        gains.setdefault(str(record["qid"]), {})[str(record["did"])] = max(0.0, float(record["score"]))
    documents = encode(corpus["text"].to_pylist())
    names = np.array([str(name) for name in corpus["id"].to_pylist()])
    scores = []
    for query, row in zip(queries["id"].to_pylist(), encode(queries["text"].to_pylist()), strict=True):
        relevant = gains.get(str(query), {})
        if any(relevant.values()):
            best = names[np.argsort(-(documents @ row), kind="stable")[:_TOP]]
            ideal = sorted(relevant.values(), reverse=True)
            scores.append(_discounted([relevant.get(name, 0.0) for name in best]) / _discounted(ideal))
    if not scores:
        raise LabelledSetError(f"labelled set retrieval:{folder}: no query has a relevant document")
    return float(np.mean(scores))


def _discounted(gains: Sequence[float]) -> float:
    """Discounted cumulative gain of the first ten, Järvelin and Kekäläinen 2002."""
    return float(sum(gain / np.log2(place + 2) for place, gain in enumerate(gains[:_TOP])))


def _mteb(task: str, encode: Encode) -> float:
    try:
        import mteb
        from mteb.models import ModelMeta
        from mteb.models.abs_encoder import AbsEncoder
    except ImportError as error:
        raise LabelledSetError(f"labelled set mteb:{task} needs MTEB: {install_hint('mteb')}") from error

    class _Model(AbsEncoder):  # type: ignore[misc]
        mteb_model_meta = ModelMeta.create_empty({"name": "distill-pipeline/student"})

        def encode(self, inputs: Any, **_: Any) -> npt.NDArray[np.floating]:
            return np.concatenate([np.asarray(encode(batch["text"])) for batch in inputs])

    # No cache: it tells models apart by name, and teacher and student have the same here.
    [result] = mteb.evaluate(_Model(), mteb.get_tasks(tasks=[task]), cache=None, show_progress_bar=False).task_results
    return round(float(result.get_score()), 6)


_KINDS: Mapping[str, Callable[[Path, Encode], float]] = {
    "pairs": _pairs,
    "classification": _classification,
    "clustering": _clustering,
    "retrieval": _retrieval,
}


def _part(folder: Path, stem: str) -> Path:
    found = sorted(folder.glob(f"{stem}.*"))
    if not found:
        raise LabelledSetError(f"labelled set retrieval:{folder}: there is no {stem}.tsv or {stem}.parquet in it")
    return found[0]


def _read(path: Path, *columns: str) -> pa.Table:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
    else:
        table = pyarrow.csv.read_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(
                strings_can_be_null=False,
                # An id such as 007 is no number, and a text may be one.
                column_types={name: pa.string() for name in columns if name != "score"},
            ),
        )
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise LabelledSetError(f"labelled set {path}: no column {missing[0]!r}; it has {', '.join(table.column_names)}")
    return table
