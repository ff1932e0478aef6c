"""Another project of Dagster with two of this package's components and an asset of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distill_pipeline.chain.home import Home
from distill_pipeline.recipe.recipe import Recipe

_COMPONENT = """\
type: distill_pipeline.DistillationComponent
attributes:
  home: {home}
  recipes: [{recipe}]
  key_prefix: {prefix}
  group: {prefix}
"""

_DOWNSTREAM = """\
import dagster as dg


@dg.asset(deps=[dg.AssetDep(["docs", "static_model"], partition_mapping=dg.AllPartitionMapping())])
def search_index() -> None:
    pass
"""


def fill(defs: Path, project: Path, recipe: Callable[..., Recipe]) -> dict[str, Home]:
    """Write two components into a project's `defs` folder, over a home each, and an asset after the first one.

    Returns the homes by the components' prefixes: `docs` with the recipe tiny, `shop/small` with other.
    """
    homes = {}
    for prefix, name, dims in (("docs", "tiny", 8), ("shop/small", "other", 4)):
        folder = defs / prefix.replace("/", "_")
        folder.mkdir()
        home = homes[prefix] = Home(project / f"home-{dims}")
        home.save_recipe(recipe(name=name, pca_dims=dims))
        text = _COMPONENT.format(home=home.root.name, recipe=name, prefix=prefix)
        (folder / "defs.yaml").write_text(text.replace("group: shop/small", "group: shop"), encoding="utf-8")
    (defs / "search_index.py").write_text(_DOWNSTREAM, encoding="utf-8")
    return homes
