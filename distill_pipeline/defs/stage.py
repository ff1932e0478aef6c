"""What all assets of the chain share: the cache around their computation, and its metadata in Dagster.

Holds no numerics and names no single stage: see the rooms below and `chain/stages.py`.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
from pydantic import Field

from distill_pipeline.chain.pictures import stage_pictures
from distill_pipeline.chain.stages import STAGES
from distill_pipeline.defs.pictures import pictures_metadata
from distill_pipeline.defs.resources import DistillHome, bound
from distill_pipeline.defs.sources import upstream_of
from distill_pipeline.fitting.pca import check_dimensions
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey, changes
from distill_pipeline.store.local import upstream_output
from distill_pipeline.store.output import Output
from distill_pipeline.teacher.batches import Progress
from distill_pipeline.teacher.check import check_teacher
from distill_pipeline.teacher.passes.forward import Pooling
from distill_pipeline.teacher.source import TeacherSource
from distill_pipeline.teacher.teacher import Teacher, load_teacher

OWNERS = ["team:distillation"]
SECONDS_BETWEEN_REPORTS = 5.0

StageResult = dg.MaterializeResult[Any]


@dataclass(frozen=True)
class StageAsset:
    """A function that is to be the asset of the stage of its name, and further arguments of `dg.asset` for it."""

    function: Callable[..., Any]
    own: Mapping[str, Any]

    def of(self, home: DistillHome) -> dg.AssetsDefinition:
        """Return the asset over one home, as `STAGES` describes it."""
        stage = STAGES[self.function.__name__]
        return define_asset(
            home,
            self.function,
            partitions_def=home.partitions,
            deps=[home.key(name) for name in (*upstream_of(stage.name), *stage.upstream)],
            kinds=set(stage.kinds),
            code_version=stage.version,
            **self.own,
        )


def stage_asset(**own: Any) -> Callable[[Callable[..., Any]], StageAsset]:
    """Return a decorator that makes a function a `StageAsset`."""
    return lambda function: StageAsset(function, own)


def define_asset(home: DistillHome, function: Callable[..., Any], **arguments: Any) -> dg.AssetsDefinition:
    """Return the asset of a function's name over one home, with a reference to its source for the UI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        place = dg.LocalFileCodeReference(
            file_path=function.__code__.co_filename, line_number=function.__code__.co_firstlineno
        )
        source = dg.CodeReferencesMetadataValue(code_references=[place])
    asset = dg.asset(
        key=home.key(function.__name__),
        group_name=home.group,
        owners=OWNERS,
        metadata={"dagster/code_references": source},
        **arguments,
    )
    defined: dg.AssetsDefinition = asset(bound(function, home))
    return defined


class StageConfig(dg.Config):
    """How to run a stage; it never changes the result."""

    force: bool = Field(default=False, description="Compute even when the store already holds this output.")


class PicturedConfig(StageConfig):
    """How to run a stage that has pictures."""

    pictures: bool = Field(default=True, description="Show the pictures; a release draws those that nobody looked at.")


@dataclass(frozen=True)
class StageRun:
    """One stage of one recipe, as an asset's computation sees it."""

    recipe: Recipe
    key: StageKey
    folder: Path
    home: DistillHome
    keys: Mapping[str, StageKey]
    log: Callable[[str], None]
    forced: bool = False

    def upstream(self, stage: str) -> Output:
        """Return the verified output of an earlier stage of the same recipe.

        Raises:
            StoreError: It is missing from the store or damaged; the message says how to make it.
        """
        return upstream_output(self.home.store, self.recipe.name, self.keys[stage])

    @property
    def teacher_source(self) -> TeacherSource:
        """Where the teacher's files are."""
        return self.home.teacher(self.recipe)

    def load_teacher(self, pooling: Pooling) -> Teacher:
        """Load the teacher in float32, after checking it for the recipe. Raises `TeacherError`."""
        check_teacher(self.teacher_source, self.recipe)
        return load_teacher(
            self.teacher_source,
            pooling=pooling,
            device=self.recipe.device,
            trust_remote_code=self.recipe.trust_remote_code,
            prompt=self.recipe.prompt,
        )

    def reporter(self) -> Callable[[Progress], None]:
        """Return a function that logs what was resumed, progress every few seconds, and the end."""
        last = time.monotonic()

        def report(progress: Progress) -> None:
            nonlocal last
            if (
                not progress.per_second
                or progress.done == progress.total
                or time.monotonic() - last >= SECONDS_BETWEEN_REPORTS
            ):
                last = time.monotonic()
                self.log(str(progress))

        return report


Compute = Callable[[StageRun], Mapping[str, Any]]


def materialize_stage(
    context: dg.AssetExecutionContext,
    config: StageConfig,
    home: DistillHome,
    compute: Compute,
    *,
    describe: Callable[[Output], Mapping[str, Any]] = lambda _: {},
    resumable: bool = False,
    still_valid: Callable[[Output], bool] = lambda _: True,
    pictures: bool = False,
) -> StageResult:
    """Return the stage's output from the store, or compute and store it.

    Dagster computes whatever it is asked for, so the cache lives here: a hit verifies the stored files and returns
    the same data version; a miss logs which input changed since this recipe's last output.

    Args:
        context: Names the asset and the partition, which is the recipe.
        config: Whether to compute in any case.
        home: Where recipes and outputs are.
        compute: Fills the run's folder and returns facts.
        describe: Returns the stage's own metadata from its output, stored or new.
        resumable: Whether `compute` reuses finished parts of a killed run.
        still_valid: Whether the stage's effects outside the store still stand.
        pictures: Whether to show the stage's pictures, which are drawn if they weren't yet.
    """
    stage = context.asset_key.path[-1]
    recipe = home.recipe(context.partition_key)
    source = home.teacher(recipe)
    if source.note and not STAGES[stage].upstream:  # once per run, not once per stage
        context.log.warning(source.note)
    keys = home.stage_keys(recipe)
    store = home.store

    def make(folder: Path) -> Mapping[str, Any]:
        context.log.info(_why(store.recorded_inputs(recipe.name, stage), keys[stage], forced=config.force))
        if "teacher" in keys[stage].inputs and not STAGES[stage].upstream:
            check_teacher(source, recipe)
            if note := source.prompts_note(recipe.prompt):
                context.log.warning(note)
        if isinstance(recipe.pca_dims, int):
            check_dimensions(recipe.pca_dims, source.max_dimensions)
        return compute(StageRun(recipe, keys[stage], folder, home, keys, context.log.info, config.force))

    started = time.monotonic()
    output, hit = store.get_or_make(
        keys[stage],
        make,
        force=config.force,
        resumable=resumable,
        still_valid=still_valid,
        run_id=context.run.run_id,
        recipe_name=recipe.name,
        log=context.log.info,
    )
    seconds = time.monotonic() - started
    context.log.info(f"cache: {'hit' if hit else 'computed'} in {seconds:.2f} s, {output.size:,} bytes")
    metadata = {
        **describe(output),
        "cache": "hit" if hit else "computed",
        "seconds": round(seconds, 3),
        "seconds_when_computed": output.manifest["seconds"],
        "bytes": output.size,
        "folder": dg.MetadataValue.path(str(output.folder)),
        "dagster/uri": store.uri(output.key),
        "versions": dg.MetadataValue.json(dict(output.manifest["versions"])),
    }
    if pictures:
        drawn = stage_pictures(store, recipe.name, keys, stage, force=config.force, log=context.log.info)
        metadata |= pictures_metadata(drawn)
    return dg.MaterializeResult(data_version=dg.DataVersion(output.key.fingerprint), metadata=metadata)


def _why(before: Mapping[str, Any] | None, key: StageKey, *, forced: bool) -> str:
    if forced:
        return "computing: forced"
    if before is None:
        return "computing: this recipe has no earlier output of this stage"
    changed = changes(before, key.inputs)
    if not changed:
        return "computing: the stored output is missing or no longer valid"
    return f"computing: changed since the last output: {'; '.join(changed)}"


def table_metadata(path: Path) -> dict[str, Any]:
    """Return a Parquet file's row count and column schema as Dagster shows them."""
    schema = pq.read_schema(path)
    columns = [dg.TableColumn(field.name, str(field.type)) for field in schema]
    return {"dagster/row_count": pq.read_metadata(path).num_rows, "dagster/column_schema": dg.TableSchema(columns)}
