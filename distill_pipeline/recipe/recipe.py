"""The `Recipe`: its fields, and what must hold among them. Never reads a teacher's weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from distill_pipeline.errors import did_you_mean
from distill_pipeline.recipe.choices import (
    AUTO,
    DICTIONARY,
    DICTIONARY_KINDS,
    MIN_REFINEMENT_TEXTS,
    REFINEMENTS,
    WEIGHTINGS,
    describe,
)
from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.fields import (
    Count,
    CountOrAuto,
    Device,
    Dimensions,
    EntryLimit,
    Floors,
    OptionalHubName,
    OptionalText,
    Ref,
    Share,
    ShareOrAuto,
    Slug,
    Variants,
    check_hub_name,
    is_hub_name,
)
from distill_pipeline.recipe.languages import listed_language
from distill_pipeline.recipe.presets import ALIASES, EMBEDDED, derived_name


class Recipe(BaseModel):
    """Everything that decides a student's bytes and, apart from that, where it is released.

    One recipe is one Dagster partition. Raises pydantic's `ValidationError`; `make_recipe` and
    `read_recipe` turn that into a `RecipeError` that a user can act on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    name: Slug = Field(
        "", description="Lower-case name of recipe, partition and release. Empty: made of repository or teacher."
    )
    teacher: str = Field(
        min_length=1,
        description="An alias (MODERNBERT_BASE, MODERNBERT_LARGE, MINILM_EMBEDDED), a Hub name or a folder.",
    )
    revision: OptionalText = Field(
        None, description="Commit, tag or branch of a Hub teacher. A 40-digit commit pins it; none means main."
    )
    trust_remote_code: bool = Field(False, description="Let the teacher run Python code of its repository.")
    allow_pickled_weights: bool = Field(
        False, description="Accept a teacher without safetensors; pickled weights can carry code."
    )
    device: Device = Field("auto", description="Where the teacher runs: auto, cpu, cuda, cuda:1, mps.")
    prompt: OptionalText = Field(None, description="Text put before each token or word, e.g. 'search_document: '.")

    vocabulary: Literal["words", "teacher"] = Field(
        "words",
        description="words = the language's frequent words and the teacher's pieces, with the student's own tokenizer; "
        "teacher = the teacher's tokens and tokenizer.",
    )
    vocabulary_words: Count = Field(
        100_000, description="Number of the language's most frequent words in the vocabulary (vocabulary=words)."
    )
    max_entries: EntryLimit = Field(
        None,
        description="Most entries (vocabulary=words): the rarest words go, then the rarest pieces; none = no limit.",
    )
    words: tuple[str, ...] | Path = Field(
        (), description="Words and phrases of your own to add: a list, or a file with one a line."
    )
    lowercase: bool = Field(
        True,
        description="Whether the tokenizer of vocabulary=words folds case, and accents where they tell few words apart "
        "(English, not Spanish or Vietnamese).",
    )
    language: str = Field(
        "en", pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,8})?$", description="Language of the word list (wordfreq's code)."
    )
    words_from: Literal["wordfreq", "corpus"] = Field(
        "wordfreq", description="Source of all words and frequencies: wordfreq's list of the language, or the corpus."
    )

    pooling: Literal["auto", "mean", "first", "last", "pooler"] = Field(
        "auto", description="auto = the teacher's own modules, Dense and Normalize included."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic; auto = bfloat16 if native and sample rows keep a cosine of 0.999 to float32."
    )

    weighting: Literal["auto", "fitted", "frequency", "none", "zipf"] = Field(
        "auto", description=f"{describe(WEIGHTINGS)}; auto = fitted with a refinement, else frequency."
    )
    refinement: Literal["auto", "none", "corpus", "dictionary", "generated"] = Field(
        "auto",
        description=f"Fit the rows to the teacher's embeddings of texts: {describe(REFINEMENTS)}; none = don't; auto = "
        "dictionary in English, else generated.",
    )
    corpus: tuple[str, ...] = Field(
        (),
        description="Texts for refinement=corpus and words_from=corpus: files or patterns, "
        "dataset:NAME:CONFIG:SPLIT@REVISION (NAME on the Hub or ./FOLDER; rest optional); a column after # (default "
        "text).",
    )
    corpus_texts: int = Field(200_000, ge=100, description="Maximum number of passages sampled from the corpus.")
    dictionary_texts: Count = Field(
        40_000, description="Maximum number of definitions and examples of the dictionary, short ones first; 0 = none."
    )
    generated_texts: CountOrAuto = Field(
        "auto",
        description="Texts generated for the refinement, with rare words; auto = 9000 with the dictionary's, 45000 "
        "without them or with both them and a corpus, 180000 with a corpus alone.",
    )
    phrases: Count = Field(
        20_000, description="Number of word pairs of the corpus in the vocabulary (vocabulary=words)."
    )
    seed: int = Field(0, ge=0, description="Seed of the texts that are generated or sampled.")
    whitening: ShareOrAuto = Field(
        "auto", description="0 leaves the variances of the directions as they are, 1 makes them equal; auto = 0.3."
    )
    pca_dims: Dimensions = Field(
        256, description="Principal components kept: number, share of variance (0.95), auto (all, rotated), or none."
    )
    space: Literal["own", "teacher"] = Field(
        "own",
        description="Where the student's vectors lie: own = a space of its own, of pca_dims; teacher = the "
        "teacher's, in its full width, so that static queries search an index of the teacher's vectors.",
    )
    dtype: Literal["float16", "float32", "int8"] = Field("float16", description="Numbers in the model file.")

    evaluation_texts: Path | None = Field(
        None,
        description="File of texts, one a line, on which teacher and student are compared; a release shows none of "
        "them. none = passages of the corpus that no fit reads; without one, the English sentences of this package or, "
        "in another language of wordfreq's, generated texts.",
    )
    labelled_sets: tuple[str, ...] = Field(
        (DICTIONARY,),
        description="Score both on dictionary (five tasks on WordNet; English alone), pairs:FILE, classification:FILE, "
        "clustering:FILE, retrieval:FOLDER or mteb:TASK.",
    )
    compare_with_model2vec: bool = Field(
        True,
        description="Also measure what model2vec.distill makes of this teacher, from its rows that the student's "
        "vocabulary has already. Done once per vocabulary and number of dimensions.",
    )
    min_similarity_correlation: float = Field(
        0.0, ge=-1, le=1, description="Floor for a release: correlation of student and teacher similarities."
    )
    min_neighbour_overlap: Share = Field(
        0.0, description="Floor for a release: share of the teacher's 10 nearest texts that are the student's."
    )
    min_scores: Floors = Field(
        {},
        description="Floors for a release: mean score by kind of labelled set, e.g. {retrieval: 0.4, synonyms: 0.9}.",
    )
    max_regression: float = Field(
        0.1, ge=0, le=2, description="How far a figure or a labelled set's score may fall below the current release's."
    )
    variants: Variants = Field(
        (),
        description="Further forms in the same release, each checked: float32, float16, int8, dims-N; onnx = files for "
        "transformers.js and FastEmbed; router = with the teacher and its weights, for sentence_transformers.",
    )
    repository: OptionalHubName = Field(None, description="Hub repository to release to; none = only the local folder.")
    private: bool | Literal["auto"] = Field(
        "auto", description="Create the Hub repository as private; auto = if the teacher's is private or gated."
    )
    pull_request: bool = Field(False, description="Open a pull request instead of committing to the branch.")
    branch: Ref = Field(None, description="Branch to release to, created when it doesn't exist; none means main.")
    tag: Ref = Field(None, description="Tag of the release's commit; next = v1, v2, ...; none = no tag.")
    commit_message: str = Field("Release a distilled static model", min_length=1, description="Of the Hub commit.")
    patience_seconds: float = Field(
        300, ge=0, le=86400, description="How long to keep trying while the Hub is busy or out of reach."
    )

    @model_validator(mode="before")
    @classmethod
    def _has_a_name(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and not fields.get("name"):
            return {**fields, "name": derived_name(fields)}
        return fields

    @field_validator("teacher")
    @classmethod
    def _teacher_is_an_alias_a_folder_or_a_hub_name(cls, teacher: str) -> str:
        if teacher in ALIASES.values() or teacher in ALIASES or is_folder(teacher):
            return teacher
        if is_hub_name(teacher):
            check_hub_name(teacher)
            return teacher
        raise ValueError(
            "neither a known alias, nor a folder, nor a Hub name (owner/name)" + did_you_mean(teacher, ALIASES)
        )

    @field_validator("corpus")
    @classmethod
    def _data_sets_have_names_that_the_hub_allows(cls, corpus: tuple[str, ...]) -> tuple[str, ...]:
        for data_set in filter(None, map(Dataset.parse, corpus)):
            if data_set.folder is None:
                check_hub_name(data_set.name)
        return corpus

    @model_validator(mode="after")
    def _floors_are_of_kinds_that_are_scored(self) -> Recipe:
        scored = [name.partition(":")[0] for name in self.resolved("labelled_sets")]
        kinds = [kind for name in scored for kind in (DICTIONARY_KINDS if name == DICTIONARY else [name])]
        for kind in sorted(self.min_scores.keys() - set(kinds)):
            there = f"labelled_sets has {', '.join(dict.fromkeys(kinds)) or 'none'}"
            raise ValueError(f"min_scores: no set of the kind {kind!r}; {there}{did_you_mean(kind, kinds)}")
        return self

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Recipe:
        for field in ("words_from", "refinement"):
            if getattr(self, field) == "corpus" and not self.corpus:
                raise ValueError(f"{field}=corpus needs texts: name files or a dataset in corpus")
        if self.refinement == "none":
            if self.space == "teacher":
                raise ValueError("space=teacher needs the refinement's texts, to which the map is fitted")
            if self.weighting == "fitted":
                raise ValueError("weighting=fitted needs the refinement's texts: use weighting=frequency")
            return self
        if self.pca_dims is None:
            raise ValueError("refinement works on principal directions: use pca_dims=auto, or refinement=none")
        if self.refinement == "dictionary" and not self._is_english:
            raise ValueError(f"refinement=dictionary: the dictionary is English, not {self.language}; use generated")
        count, refinement = self.resolved("generated_texts"), self.resolved("refinement")
        fields = {"dictionary": ("dictionary_texts", "generated_texts"), "generated": ("generated_texts",)}
        counts = {field: self.resolved(field) for field in fields.get(refinement, ())}
        if counts and sum(counts.values()) < MIN_REFINEMENT_TEXTS:
            said = ", ".join(f"{field}={number}" for field, number in counts.items())
            raise ValueError(f"{said}: a refinement needs at least {MIN_REFINEMENT_TEXTS} texts")
        from_list = count and self.words_from == "wordfreq"
        if from_list and self.language != "en" and listed_language(self.language) is None:
            raise ValueError(
                f"language={self.language}: wordfreq knows no words of it in its script, so no texts can be generated; "
                "use words_from=corpus, refinement=corpus with generated_texts=0, or refinement=none"
            )
        return self

    def resolved(self, field: str) -> Any:
        """Return a field's value; an alias, and `auto` where the recipe alone decides it, as what they stand for.

        The labelled sets are without the dictionary, which is English, in other languages.
        """
        value = getattr(self, field)
        if field == "teacher":
            return self.teacher_location
        if field == "labelled_sets" and not self._is_english:
            return tuple(name for name in value if name != DICTIONARY)
        if value != "auto":
            return value
        if field == "refinement":
            return "dictionary" if self._has_dictionary else "generated"
        refinement = self.resolved("refinement")
        if refinement == "corpus" and self.uses_dictionary:
            refinement = "corpus and dictionary"
        elif refinement == "dictionary" and not self.uses_dictionary:
            refinement = "generated"
        return AUTO[refinement].get(field, value)

    @property
    def _is_english(self) -> bool:
        return self.language.partition("-")[0] == "en"

    @property
    def _has_dictionary(self) -> bool:
        """Whether there is a dictionary of the same language as the words, as far as that is known."""
        return self._is_english and self.words_from == "wordfreq"

    @property
    def uses_dictionary(self) -> bool:
        """Whether the rows are fitted to the dictionary's texts."""
        refinement = self.resolved("refinement")
        beside = refinement == "corpus" and self._has_dictionary
        return self.dictionary_texts > 0 and (beside or refinement == "dictionary")

    @property
    def teacher_location(self) -> str:
        """The teacher with its alias resolved: a Hub name, a folder, or `embedded:NAME`."""
        return ALIASES.get(self.teacher, self.teacher)

    @property
    def teacher_label(self) -> str:
        """The teacher's public name: its Hub name, or its folder's name without the path."""
        location = self.teacher_location
        if location.startswith(EMBEDDED):
            return f"sentence-transformers/{location.removeprefix(EMBEDDED)}"
        return Path(location).name if is_folder(location) else location


def is_folder(teacher: str) -> bool:
    """Whether a teacher's name is, or is written as, a folder on this machine."""
    return teacher.startswith(("/", "./", "../", "~")) or os.path.isdir(teacher)  # noqa: PTH112 -- never raises


RELEASE_FIELDS = frozenset(
    {"repository", "private", "pull_request", "branch", "tag", "commit_message", "patience_seconds"}
)
"""Fields that say where and how to release; they decide none of the student's bytes."""
