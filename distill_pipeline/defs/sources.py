"""External assets: what a recipe is made of and nobody makes here, so that lineage begins where the data does."""

from collections.abc import Mapping

import dagster as dg

from distill_pipeline.defs.resources import DistillHome

TEACHER, CORPUS, LABELLED_SETS = "teacher", "corpus", "labelled_sets"

_READERS: Mapping[str, tuple[str, ...]] = {
    TEACHER: ("vocabulary", "token_embeddings", "text_embeddings", "quality_report"),
    CORPUS: ("vocabulary", "text_embeddings", "quality_report"),
    LABELLED_SETS: ("quality_report",),
}
_DESCRIPTIONS: Mapping[str, str] = {
    TEACHER: "The Sentence Transformer that a recipe distils. `teacher_watch` reports here when it moved on the Hub.",
    CORPUS: "The texts that a recipe names as `corpus`; a recipe without any reads nothing here.",
    LABELLED_SETS: "The sets that a recipe names as `labelled_sets`; a recipe without any reads nothing here.",
}


def upstream_of(stage: str) -> list[str]:
    """Return the sources that a stage reads."""
    return [source for source, readers in _READERS.items() if stage in readers]


def sources_of(home: DistillHome) -> list[dg.AssetSpec]:
    """Return the sources over one home."""
    return [
        dg.AssetSpec(
            home.key(name),
            description=description,
            group_name=home.group,
            partitions_def=home.partitions,
            kinds={"huggingface"} if name == TEACHER else {"file"},
        )
        for name, description in _DESCRIPTIONS.items()
    ]
