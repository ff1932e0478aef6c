"""`DistillationComponent` in a project of somebody else; `make test-runtimes` does this with create-dagster itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import STAGES
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline_tests.defs.project import fill

MakeRecipe = Callable[..., Recipe]
SOURCES = ("teacher", "corpus", "labelled_sets")


class Project:
    """A project as create-dagster lays it out, loaded in this process."""

    def __init__(self, root: Path, recipe: MakeRecipe) -> None:
        self.root, self.package = root, root / "src" / "somebody"
        (self.package / "defs").mkdir(parents=True)
        for path in (self.package / "__init__.py", self.package / "defs" / "__init__.py"):
            path.touch()
        settings = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "somebody"\n'
        (root / "pyproject.toml").write_text(settings)
        self.homes = fill(self.package / "defs", root, recipe)

    def load(self) -> dg.Definitions:
        return dg.load_from_defs_folder(path_within_project=self.package)


@pytest.fixture
def project(tmp_path: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    yield Project(tmp_path, recipe)
    for name in [name for name in sys.modules if name.partition(".")[0] == "somebody"]:
        del sys.modules[name]


def test_two_components_of_one_project_do_not_clash_and_others_depend_on_them(project: Project) -> None:
    defs = project.load()
    dg.Definitions.validate_loadable(defs)
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    own = (*STAGES, *SOURCES, "recipe_comparison", "plan")
    assert set(specs) == {f"{prefix}/{name}" for prefix in ("docs", "shop/small") for name in own} | {"search_index"}
    assert {spec.group_name for key, spec in specs.items() if key.startswith("shop/")} == {"shop"}
    [before] = specs["search_index"].deps
    assert before.asset_key.to_user_string() == "docs/static_model"
    assert {dep.asset_key.to_user_string() for dep in specs["docs/vocabulary"].deps} == {"docs/teacher", "docs/corpus"}
    assert {job.name for job in defs.jobs or ()} >= {"docs_distill", "shop_small_distill", "shop_small_measure"}
    for prefix, recipe in (("docs", "tiny"), ("shop/small", "other")):
        partitions = specs[f"{prefix}/hub_release"].partitions_def
        assert partitions is not None
        assert partitions.get_partition_keys() == [recipe]


def test_a_component_s_job_releases_into_its_own_home_and_takes_a_launch_s_configuration(project: Project) -> None:
    defs = project.load()
    run_config = {"ops": {"docs__vocabulary": {"config": {"force": True}}}, "loggers": {"console": {"config": {}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("docs_distill")
        run = job.execute_in_process(run_config, instance=instance, partition_key="tiny")
    assert run.success
    assert len(run.get_asset_check_evaluations()) == len(STAGES)
    assert (project.homes["docs"].releases / "tiny" / "model.safetensors").is_file()
    assert not project.homes["shop/small"].releases.exists()


def test_a_recipe_that_the_home_lacks_is_named(project: Project) -> None:
    file = project.package / "defs" / "docs" / "defs.yaml"
    file.write_text(file.read_text().replace("[tiny]", "[tinny]"))
    with pytest.raises(Exception, match="Error while building definitions for docs") as caught:
        project.load()
    assert "there is no recipe 'tinny'. Did you mean tiny?" in str(caught.value.__cause__)


def test_a_component_without_recipes_takes_all_that_its_home_holds(project: Project, recipe: MakeRecipe) -> None:
    Home(project.homes["docs"].root).save_recipe(recipe(name="third"))
    file = project.package / "defs" / "docs" / "defs.yaml"
    file.write_text(file.read_text().replace("  recipes: [tiny]\n", ""))
    specs = {spec.key.to_user_string(): spec for spec in project.load().resolve_all_asset_specs()}
    partitions = specs["docs/static_model"].partitions_def
    assert partitions is not None
    assert {"tiny", "third", "minilm-256"} <= set(partitions.get_partition_keys())
