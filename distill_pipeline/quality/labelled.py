"""Scores on labelled sets: pairs with a similarity, classes, clusters, and queries with relevant documents.

A set is named KIND:PATH. Files are TSV without quoting, CSV, JSON lines or Parquet, with a header.

| kind | path | columns | score |
|---|---|---|---|
| pairs | a file | two of text, and `score` | Spearman correlation of cosine and score |
| classification | a file | `text`, `label`, perhaps `split` (train, test) | accuracy of a logistic regression |
| clustering | a file | `text`, `label` | V-measure of k-means |
| retrieval | a folder | corpus `id`, `text`; queries `id`, `text`; qrels `qid`, `did`, `score` | nDCG@10 |
| mteb | a task's name | | the task's main score (extra `mteb`) |
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import install_hint
from distill_pipeline.quality.agreement import Encode
from distill_pipeline.quality.rows import PAIR_COLUMNS, LabelledSetError, Rows
from distill_pipeline.store.disk import Stamp, sha256_of, stamps
from distill_pipeline.store.embeddings import unit_rows

_TOP = 10


class _Kind(NamedTuple):
    """A kind of set: how it is read, which raises `LabelledSetError` for all that is wrong with it, and scored."""

    read: Callable[[Path], Any]
    score: Callable[[Any, Encode], float]


def score_set(name: str, encode: Encode) -> float:
    """Return a model's score on a set KIND:PATH, from 0 to 1 (correlations from -1).

    Raises:
        LabelledSetError: As `check_set` does.
    """
    set_files(name)
    kind, _, where = name.partition(":")
    if kind == "mteb":
        return _mteb(where, encode)
    read, score = _KINDS[kind]
    return round(score(read(Path(where)), lambda texts: unit_rows(np.asarray(encode(texts)))), 6)


def set_files(name: str) -> list[Path]:
    """Return the files of a set, sorted; none for an MTEB task. Raises `LabelledSetError` if the set doesn't exist."""
    kind, _, where = name.partition(":")
    path = Path(where)
    if kind == "mteb":
        return []
    if kind not in _KINDS:
        raise LabelledSetError(f"labelled set {name!r}: its kind must be one of {', '.join([*_KINDS, 'mteb'])}")
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file())
    if not path.is_file():
        raise LabelledSetError(f"labelled set {name!r}: there is no file {where}")
    return [path]


def check_set(name: str) -> None:
    """Read a set, once per process while its files stay as they are, to know before any work whether it can be scored.

    Raises:
        LabelledSetError: The kind or the task is unknown, an extra isn't installed, or a file, a column or a row's
            value is missing or can't be used.
    """
    _check(name, stamps(set_files(name)))


@lru_cache(maxsize=64)
def _check(name: str, _files: tuple[Stamp, ...]) -> None:
    kind, _, where = name.partition(":")
    if kind == "mteb":
        _mteb_task(where)
    else:
        _KINDS[kind].read(Path(where))


def set_identity(name: str) -> dict[str, Any]:
    """Return a set's kind, its name without the path, and what tells sets of one name apart.

    That is its files' sha256, or the revision of a task's data set.
    """
    kind, _, where = name.partition(":")
    if kind == "mteb":
        return {"kind": kind, "set": where, "revision": _mteb_task(where).metadata.dataset.get("revision")}
    contents = {path.name: sha256_of(path) for path in set_files(name)}
    return {"kind": kind, "set": where.rsplit("/", 1)[-1], "sha256": contents}


def _read_pairs(path: Path) -> tuple[list[str], list[str], list[float]]:
    rows = Rows(path)
    texts = next((list(pair) for pair in PAIR_COLUMNS if set(pair) <= set(rows.names)), rows.names_of_text)
    if len(texts) < 2:
        raise LabelledSetError(
            f"labelled set {path}: pairs need two columns of text; it has {', '.join(texts) or 'none'}"
        )
    scores = rows.numbers("score")
    if len(set(scores)) < 2:
        raise LabelledSetError(f"labelled set {path}: all its scores are alike, so nothing can correlate with them")
    return rows.texts(texts[0]), rows.texts(texts[1]), scores


def _score_pairs(pairs: tuple[list[str], list[str], list[float]], encode: Encode) -> float:
    from scipy.stats import spearmanr

    first, second, scores = pairs
    cosines = (encode(first) * encode(second)).sum(axis=1)
    return float(spearmanr(cosines, scores).statistic)


class _Examples(NamedTuple):
    texts: list[str]
    labels: npt.NDArray[np.str_]
    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


def _read_classification(path: Path) -> _Examples:
    from sklearn.model_selection import train_test_split

    rows = Rows(path)
    texts, labels = rows.texts("text"), np.array(rows.texts("label"))
    splits = np.array(rows.texts("split")) if "split" in rows.names else np.array([])
    if {"train", "test"} <= set(splits):
        train, test = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
        _check_classes(rows, labels[train].tolist(), "the rows of split=train have")
        return _Examples(texts, labels, train, test)
    _check_classes(rows, labels.tolist())
    counts = Counter(labels.tolist())
    for row, label in enumerate(labels.tolist()):
        if counts[label] == 1:
            raise LabelledSetError(
                f"labelled set {path}, {rows.place(row)}: the only text of the class {label!r}; add another or leave "
                "it out, since classes are learned from some of their texts and scored on others"
            )
    try:
        train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    except ValueError as error:
        raise LabelledSetError(f"labelled set {path}: too few texts for its classes: {error}") from error
    return _Examples(texts, labels, train, test)


def _check_classes(rows: Rows, labels: list[str], which: str = "it has") -> None:
    if len(set(labels)) < 2:
        raise LabelledSetError(f"labelled set {rows.path}: {which} texts of one class alone, {labels[0]!r}")


def _score_classification(examples: _Examples, encode: Encode) -> float:
    from sklearn.linear_model import LogisticRegression

    rows, (_, labels, train, test) = encode(examples.texts), examples
    model = LogisticRegression(max_iter=300, C=10.0).fit(rows[train], labels[train])
    return float(model.score(rows[test], labels[test]))


def _read_clustering(path: Path) -> tuple[list[str], list[str]]:
    rows = Rows(path)
    texts, labels = rows.texts("text"), rows.texts("label")
    _check_classes(rows, labels)
    return texts, labels


def _score_clustering(examples: tuple[list[str], list[str]], encode: Encode) -> float:
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import v_measure_score

    rows, labels = encode(examples[0]), examples[1]
    models = [MiniBatchKMeans(len(set(labels)), random_state=seed, n_init=3, batch_size=2048) for seed in range(3)]
    return float(np.mean([v_measure_score(labels, model.fit_predict(rows)) for model in models]))


class Search(NamedTuple):
    """Documents with their names, queries as (name, text), and by query the gains of its relevant documents."""

    documents: list[str]
    texts: list[str]
    queries: list[tuple[str, str]]
    gains: Mapping[str, Mapping[str, float]]


def _read_retrieval(folder: Path) -> Search:
    corpus, queries, qrels = (Rows(_part(folder, part)) for part in ("corpus", "queries", "qrels"))
    gains: dict[str, dict[str, float]] = {}
    for query, document, score in zip(qrels.texts("qid"), qrels.texts("did"), qrels.numbers("score"), strict=True):
        gains.setdefault(query, {})[document] = max(0.0, score)
    documents, asked = corpus.texts("id"), list(zip(queries.texts("id"), queries.texts("text"), strict=True))
    wanted = {document for query, _ in asked for document, gain in gains.get(query, {}).items() if gain}
    if not wanted:
        raise LabelledSetError(f"labelled set retrieval:{folder}: no query has a relevant document")
    if not wanted & set(documents):
        raise LabelledSetError(f"labelled set retrieval:{folder}: {corpus.path.name} has no relevant document's id")
    return Search(documents, corpus.texts("text"), asked, gains)


def read_search(name: str) -> Search:
    """Return the content of a set retrieval:FOLDER. Raises `LabelledSetError`."""
    return _read_retrieval(Path(name.partition(":")[2]))


def _score_retrieval(search: Search, encode: Encode) -> float:
    documents = encode(search.texts)
    return mean_gain(search, (documents @ row for row in encode([text for _, text in search.queries])))


def mean_gain(search: Search, similarities: Iterable[npt.NDArray[np.floating]]) -> float:
    """Return the mean nDCG@10 of a search, given each query's similarities to the documents, (documents,)."""
    names, scores = np.array(search.documents), []
    for (query, _), row in zip(search.queries, similarities, strict=True):
        relevant = search.gains.get(query, {})
        if any(relevant.values()):
            best = names[np.argsort(-row, kind="stable")[:_TOP]]
            ideal = sorted(relevant.values(), reverse=True)
            scores.append(_discounted([relevant.get(name, 0.0) for name in best]) / _discounted(ideal))
    return float(np.mean(scores))


def _discounted(gains: Sequence[float]) -> float:
    """Discounted cumulative gain of the first ten, Järvelin and Kekäläinen 2002."""
    return float(sum(gain / np.log2(place + 2) for place, gain in enumerate(gains[:_TOP])))


def _mteb_task(task: str) -> Any:
    """Return a task of MTEB. Raises `LabelledSetError`."""
    try:
        import mteb
    except ImportError as error:
        raise LabelledSetError(f"labelled set mteb:{task} needs MTEB: {install_hint('mteb')}") from error
    try:
        return mteb.get_task(task)
    except KeyError as error:
        raise LabelledSetError(f"labelled set mteb:{task}: MTEB has no such task: {error}") from error


def _mteb(name: str, encode: Encode) -> float:
    task = _mteb_task(name)
    import mteb
    from mteb.models import ModelMeta
    from mteb.models.abs_encoder import AbsEncoder

    class _Model(AbsEncoder):  # type: ignore[misc]
        mteb_model_meta = ModelMeta.create_empty({"name": "distill-pipeline/student"})

        def encode(self, inputs: Any, **_: Any) -> npt.NDArray[np.floating]:
            return np.concatenate([np.asarray(encode(batch["text"])) for batch in inputs])

    # No cache: it tells models apart by name, and teacher and student have the same here.
    [result] = mteb.evaluate(_Model(), [task], cache=None, show_progress_bar=False).task_results
    return round(float(result.get_score()), 6)


_KINDS: Mapping[str, _Kind] = {
    "pairs": _Kind(_read_pairs, _score_pairs),
    "classification": _Kind(_read_classification, _score_classification),
    "clustering": _Kind(_read_clustering, _score_clustering),
    "retrieval": _Kind(_read_retrieval, _score_retrieval),
}


def _part(folder: Path, stem: str) -> Path:
    found = sorted(path for path in folder.glob(f"{stem}.*") if path.is_file())
    if not found:
        raise LabelledSetError(f"labelled set retrieval:{folder}: there is no {stem}.tsv or {stem}.parquet in it")
    return found[0]
