"""Whether a teacher can give the rows that a recipe asks for: its model is loaded and looked at, but not run."""

from typing import Any

from distill_pipeline.errors import TeacherError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.teacher.layout import read_modules, settings, transformer_folder
from distill_pipeline.teacher.source import TeacherSource
from distill_pipeline.teacher.teacher import load_model
from distill_pipeline.teacher.tokenizer import load_tokenizer

_POOL_NOTHING = frozenset({"Transformer", "Dense", "Normalize", "Dropout", "LayerNorm", "CNN", "LSTM"})
"""Classes of modules that give no sentence embedding where there was none."""

_passed: set[tuple[object, ...]] = set()


def check_teacher(source: TeacherSource, recipe: Recipe) -> None:
    """Check a teacher for a recipe, once per process.

    Raises:
        TeacherError: Weights are missing that the rows need, its modules give no sentence embedding, it reads texts as
            messages, its tokenizer has tokens without a row in its embedding matrix, or it can't be loaded.
    """
    key = (*sorted(source.identity.items()), recipe.pooling, recipe.trust_remote_code, source.allow_pickled_weights)
    if key not in _passed:
        _check_pooling(source)
        tokenizer = load_tokenizer(source.folder)
        model = load_model(source, "cpu", recipe.trust_remote_code)
        _refuse_template(model)
        _check_weights(source, model, recipe.pooling)
        _check_ids(source, model[0].auto_model, tokenizer)
        _passed.add(key)


def _check_pooling(source: TeacherSource) -> None:
    # Whatever the recipe's pooling: the quality report asks the teacher itself for embeddings of texts.
    kinds = {module.kind for module in read_modules(source.folder)}
    names = {kind.rpartition(".")[2] if kind.startswith("sentence_transformers.") else kind for kind in kinds}
    if names <= _POOL_NOTHING and "sentence_embedding" not in str(settings(source.folder)):
        raise TeacherError(
            f"the modules of {source.folder} give no sentence embedding: none of them pools; add a Pooling module, "
            "such as sentence_transformers.models.Pooling(dimensions, 'mean'), and save the teacher with it"
        )


def _refuse_template(model: Any) -> None:
    # sentence_transformers makes a message of each text where it can, with the prompt as the system's.
    if "message" in getattr(model[0], "modality_config", ()):
        raise TeacherError(
            "the teacher reads each text through a chat template, as no entry of a vocabulary can be read; to distil "
            "it without, keep 'text' alone in the modality_config of its sentence_bert_config.json"
        )


def _check_weights(source: TeacherSource, model: Any, pooling: str) -> None:
    """Compare the checkpoint with what the model needs, as the library that loads it does."""
    backbone, place = model[0].auto_model, transformer_folder(source.folder)
    _, loading = type(backbone).from_pretrained(
        place,
        config=backbone.config,
        local_files_only=True,
        output_loading_info=True,
        use_safetensors=None if source.allow_pickled_weights else True,
    )
    uses_pooler = pooling == "pooler" or "pooler_output" in str(settings(source.folder))
    missing = sorted(key for key in loading["missing_keys"] if uses_pooler or "pooler" not in key.split("."))
    if not missing:
        return
    others = sorted(loading["unexpected_keys"])
    raise TeacherError(
        f"the checkpoint in {place} lacks {len(missing)} of the model's {len(backbone.state_dict())} weights, such as "
        f"{missing[0]}"
        + (f"; it has {others[0]} and {len(others) - 1} others that the model doesn't know" if others else "")
        + (": use another pooling" if all("pooler" in key.split(".") for key in missing) else ": save it anew")
    )


def _check_ids(source: TeacherSource, backbone: Any, tokenizer: Any) -> None:
    rows = backbone.get_input_embeddings().weight.shape[0]
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    framing = {tokenizer.convert_ids_to_tokens(number) for number in tokenizer("a")["input_ids"]}
    beyond = [token for token, number in tokenizer.get_vocab().items() if number >= rows]
    named = sorted(token for token in beyond if token not in special or token in framing)
    if named:
        raise TeacherError(
            f"the tokenizer of {source.folder} has {len(named)} tokens, such as {named[0]!r}, for which the model's "
            f"matrix of {rows} rows has none: take them out of the tokenizer, or resize the model's embeddings"
        )
