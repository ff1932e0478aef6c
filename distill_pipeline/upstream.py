"""Reading an earlier stage's output, or saying how to make it."""

from __future__ import annotations

from distill_pipeline.stages import StageKey
from distill_pipeline.store import Missing, Output, Store, StoreError


def upstream_output(store: Store, recipe_name: str, key: StageKey) -> Output:
    """Return the verified output of an earlier stage of a recipe.

    Raises:
        StoreError: It isn't in the store or is damaged; the message says how to make it.
    """
    try:
        return store.get(key)
    except StoreError as error:
        reason = "was never made with these settings" if isinstance(error, Missing) else str(error)
        raise StoreError(
            f"{recipe_name} needs {key.stage}, but it {reason}. Materialise {key.stage} first: "
            f"dagster asset materialize --select {key.stage} --partition {recipe_name} "
            "-m distill_pipeline.definitions"
        ) from error
