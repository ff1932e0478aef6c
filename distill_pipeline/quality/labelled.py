"""Scores on labelled sets: pairs with a similarity, classes, clusters, and queries with relevant documents.

A set is named KIND:PATH, or `dictionary` (see `dictionary.py`). Files are TSV without quoting, CSV, JSON lines or
Parquet, with a header.

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
from distill_pipeline.quality.dictionary import SET, VERSION, dictionary_tasks, score_tasks
from distill_pipeline.quality.rows import PAIR_COLUMNS, LabelledSetError, Rows
from distill_pipeline.quality.scores import Labels, Places, Score, accuracy, ndcg, spearman, v_measure
from distill_pipeline.recipe.choices import DICTIONARY
from distill_pipeline.store.disk import Stamp, sha256_of, stamps
from distill_pipeline.store.embeddings import unit_rows
from distill_pipeline.texts.dictionary import check_dictionary

_EncodeUnit = Callable[[Sequence[str]], npt.NDArray[np.float64]]


class _Kind(NamedTuple):
    """A kind of set: how it is read, which raises `LabelledSetError` for all that is wrong with it, and scored."""

    read: Callable[[Path], Any]
    score: Callable[[Any, _EncodeUnit], Score]


def score_sets(names: Iterable[str], encode: Encode) -> list[dict[str, Any]]:
    """Return an entry for each set: what tells it from others, `score` and `error`; for `dictionary`, one a task.

    An MTEB task's has `parts` too: the score of each of its splits and subsets, by the id that the Hub gives it.

    Raises:
        DictionaryError, LabelledSetError: As `check_set` does.
    """
    found = []
    for name in names:
        if name == DICTIONARY:
            tasks = score_tasks(dictionary_tasks(), encode)
            scores = [({**set_identity(name), "kind": kind}, score) for kind, score in tasks.items()]
        elif is_mteb(name):
            score, parts = _mteb(name.removeprefix("mteb:"), encode)
            scores = [({**set_identity(name), "parts": parts}, score)]
        else:
            scores = [(set_identity(name), score_set(name, encode))]
        found += [
            {**identity, "score": _short(score.value), "error": _short(score.error)} for identity, score in scores
        ]
    return found


def is_mteb(name: str) -> bool:
    """Whether a labelled set is a task of MTEB."""
    return name.startswith("mteb:")


def _short(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 6)


def score_set(name: str, encode: Encode) -> Score:
    """Return a model's score on a set of files, KIND:PATH, from 0 to 1 (correlations from -1).

    Raises:
        LabelledSetError: As `check_set` does.
    """
    set_files(name)
    kind, _, where = name.partition(":")
    read, score = _KINDS[kind]
    return score(read(Path(where)), lambda texts: unit_rows(np.asarray(encode(texts))))


def set_files(name: str) -> list[Path]:
    """Return the files of a set, sorted; none for an MTEB task or the dictionary.

    Raises:
        LabelledSetError: The set doesn't exist.
    """
    kind, _, where = name.partition(":")
    path = Path(where)
    if kind == "mteb" or name == DICTIONARY:
        return []
    if kind not in _KINDS:
        known = ", ".join([*_KINDS, "mteb"])
        raise LabelledSetError(f"labelled set {name!r}: its kind must be one of {known}, or the set {DICTIONARY}")
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
        DictionaryError: The dictionary isn't installed.
    """
    if name == DICTIONARY:
        check_dictionary()
        return
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

    That is its files' sha256, or the revision of the dictionary's tasks or of an MTEB task's data set.
    """
    kind, _, where = name.partition(":")
    if name == DICTIONARY:
        return {"kind": name, "set": SET, "revision": VERSION}
    if kind == "mteb":
        dataset = _mteb_task(where).metadata.dataset
        return {"kind": kind, "set": where, "dataset": dataset.get("path"), "revision": dataset.get("revision")}
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


def _score_pairs(pairs: tuple[list[str], list[str], list[float]], encode: _EncodeUnit) -> Score:
    first, second, scores = pairs
    return spearman(encode(first), encode(second), scores)


class _Examples(NamedTuple):
    texts: list[str]
    labels: Labels
    train: Places
    test: Places


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


def _score_classification(examples: _Examples, encode: _EncodeUnit) -> Score:
    return accuracy(encode(examples.texts), examples.labels, examples.train, examples.test)


def _read_clustering(path: Path) -> tuple[list[str], list[str]]:
    rows = Rows(path)
    texts, labels = rows.texts("text"), rows.texts("label")
    _check_classes(rows, labels)
    return texts, labels


def _score_clustering(examples: tuple[list[str], list[str]], encode: _EncodeUnit) -> Score:
    return v_measure(encode(examples[0]), np.array(examples[1]))


class Search(NamedTuple):
    """Documents, the queries that have a relevant one, and of each query the gains by the document's place.

    A relevant document that isn't there can't be found, and counts: its place is below 0.
    """

    documents: list[str]
    queries: list[str]
    gains: Sequence[Mapping[int, float]]


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
    places = {name: place for place, name in reversed(list(enumerate(documents)))}
    relevant = [(text, gains[query]) for query, text in asked if any(gains.get(query, {}).values())]
    by_place = [{places.get(name, -1 - n): gain for n, (name, gain) in enumerate(own.items())} for _, own in relevant]
    return Search(corpus.texts("text"), [text for text, _ in relevant], by_place)


def read_search(name: str) -> Search:
    """Return the content of a set retrieval:FOLDER. Raises `LabelledSetError`."""
    return _read_retrieval(Path(name.partition(":")[2]))


def _score_retrieval(search: Search, encode: _EncodeUnit) -> Score:
    documents = encode(search.documents)
    return ndcg(encode(search.queries), documents, search.gains)


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


def _mteb(name: str, encode: Encode) -> tuple[Score, dict[str, float]]:
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
    parts = {
        f"{name}_{part['hf_subset']}_{split}": round(float(part["main_score"]), 6)
        for split, subsets in result.scores.items()
        for part in subsets
    }
    return Score(float(result.get_score())), parts


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
