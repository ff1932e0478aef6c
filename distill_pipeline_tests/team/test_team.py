"""Four recipes through the queue while a daemon and a run are killed: nothing lost, nothing done twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import STAGES
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline_tests.servers.bucket import KEYS, Bucket, S3Server
from distill_pipeline_tests.servers.listener import listening
from distill_pipeline_tests.team.deployment import Deployment, free_port, wait_until
from distill_pipeline_tests.team.postgres import database, programs

pytestmark = [
    pytest.mark.team,
    pytest.mark.skipif(programs() is None, reason="needs PostgreSQL: apt-get install postgresql"),
    pytest.mark.skipif(shutil.which("caddy") is None, reason="needs the proxy: apt-get install caddy"),
]

MakeRecipe = Callable[..., Recipe]

LAUNCH = """
mutation Launch($runs: [ExecutionParams!]!) {
  launchMultipleRuns(executionParamsList: $runs) {
    ... on LaunchMultipleRunsResult { launchMultipleRunsResult { __typename } }
    ... on PythonError { message }
  }
}
"""
RECIPES = ("tiny", "other", "third", "fourth")
SECONDS_FOR_A_RUN = 120
RUN_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@pytest.fixture
def shared(s3: S3Server) -> Bucket:
    """The team's bucket."""
    return s3.make_bucket()


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Where failed runs are posted, and what was."""
    with listening() as listener:
        yield listener


@pytest.fixture
def team(
    tmp_path: Path, shared: Bucket, told: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    """The deployment, its daemon not yet started."""
    values = {
        **KEYS,
        "DISTILL_HOME": str(tmp_path / "home"),
        "HF_HOME": str(tmp_path / "huggingface"),
        "DISTILL_STORE_URL": shared.url,
        "DISTILL_FAILURE_URL": told[0],
        "FSSPEC_S3": json.dumps(
            {
                "endpoint_url": shared.environment["AWS_ENDPOINT_URL"],
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            }
        ),
    }
    with database(free_port()) as address:
        for name, value in address.items():
            monkeypatch.setenv(name, value)
        with Deployment(tmp_path, {**values, **address}) as deployment:
            yield deployment


class Watched:
    """What the team's Dagster instance says of its runs."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def records(self) -> list[dg.RunRecord]:
        """Return all runs, the oldest first."""
        return list(self.instance.get_run_records(ascending=True))

    def recipe(self, record: dg.RunRecord) -> str:
        """Return which recipe a run is for."""
        return record.dagster_run.tags["dagster/partition"]

    def with_status(self, *statuses: dg.DagsterRunStatus) -> list[dg.RunRecord]:
        """Return the runs that stand at one of these."""
        return [record for record in self.records() if record.dagster_run.status in statuses]

    def at_work(self) -> list[dg.RunRecord]:
        """Return the runs that have materialised something and haven't ended."""
        return [
            record
            for record in self.with_status(dg.DagsterRunStatus.STARTED)
            if self.instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        ]

    def process(self, record: dg.RunRecord) -> int:
        """Return the process that a run is."""
        for entry in self.instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            found = re.search(r"\(pid: (\d+)\)", entry.message)
            if found:
                return int(found[1])
        raise AssertionError("the run's log names no process")

    def outputs(self, stage: str) -> list[tuple[str, str, str]]:
        """Return (recipe, fingerprint, cache) of each materialisation of a stage."""
        found = []
        for record in self.instance.fetch_materializations(dg.AssetKey(stage), limit=100).records:
            event = record.asset_materialization
            assert event is not None
            assert event.partition is not None
            found.append(
                (event.partition, (event.tags or {})["dagster/data_version"], str(event.metadata["cache"].value))
            )
        return found


def test_nothing_is_lost_or_done_twice_when_the_daemon_and_a_run_are_killed(
    team: Deployment, shared: Bucket, told: tuple[str, list[dict[str, str]]], recipe: MakeRecipe, bert: Path
) -> None:
    home = Home(team.folder / "home")
    # Students of random weights may agree with their teachers less than not at all, by the last digits of a processor.
    any_student = {"min_similarity_correlation": -1.0}
    recipes = [
        recipe(name="tiny", **any_student),
        recipe(name="other", pca_dims=4, **any_student),
        recipe(name="third", teacher=str(bert), **any_student),
        recipe(name="fourth", teacher=str(bert), pca_dims=4, **any_student),
    ]
    for each in recipes:
        home.save_recipe(each)
    for service in ("init", "code", "webserver", "proxy", "daemon"):
        team.start(service)
    with dg.DagsterInstance.from_config(str(team.home)) as instance:
        watched = Watched(instance)
        _launch(team, [each.name for each in recipes])
        assert len(watched.records()) == 4

        # The daemon dies in the first run, which goes on; the others wait, and none is started.
        wait_until(lambda: bool(watched.at_work()), SECONDS_FOR_A_RUN, "a run is at work")
        team.kill("daemon")
        first = watched.records()[0].dagster_run.run_id
        wait_until(lambda: len(watched.with_status(*RUN_ENDED)) == 1, SECONDS_FOR_A_RUN, "the first run ends")
        assert watched.with_status(*RUN_ENDED)[0].dagster_run.run_id == first
        assert len(watched.with_status(dg.DagsterRunStatus.QUEUED)) == 3
        team.start("daemon")

        # The process of a later run dies; the run is reported, and run again from where it stood.
        wait_until(lambda: bool(watched.at_work()), SECONDS_FOR_A_RUN, "the next run is at work")
        [victim] = watched.at_work()
        os.kill(watched.process(victim), signal.SIGKILL)
        wait_until(
            lambda: len(watched.with_status(dg.DagsterRunStatus.SUCCESS)) == 4, 4 * SECONDS_FOR_A_RUN, "all succeeded"
        )
        _check(watched, victim.dagster_run.run_id, shared, home)
        wait_until(lambda: bool(told[1]), SECONDS_FOR_A_RUN, "the killed run is told of")
        assert [report["run_id"] for report in told[1]] == [victim.dagster_run.run_id]


def test_nothing_reaches_the_ui_but_its_own_pages_for_someone_who_is_signed_in(team: Deployment) -> None:
    for service in ("init", "code", "webserver", "proxy"):
        team.start(service)
    assert team.ask("{ version }", proxy=True)["version"] == dg.__version__
    assert team.status("GET", "/runs") == 200
    assert team.status("GET", "/runs", signed_in=False) == 401
    assert team.status("POST", "/graphql", signed_in=False) == 401
    for method in ("GET", "HEAD", "PUT"):
        for path in ("/graphql", "/%67raphql", "/GraphQL"):
            link = f"{path}?query=mutation%7BsetNuxSeen%7D"
            assert team.status(method, link) == 405, (method, path)
            assert team.status(method, link, Upgrade="websocket") == 405
    for origin in ("http://elsewhere.example", "null", f"{team.url}.elsewhere.example", f"{team.url}1"):
        assert team.status("POST", "/graphql", Origin=origin) == 403
        assert team.status("GET", "/graphql", Connection="Upgrade", Upgrade="websocket", Origin=origin) == 403
    for name in ("elsewhere.example", "localhost", f"elsewhere.example:{team.ports['443']}"):
        assert team.status("POST", "/graphql", Host=name) == 421


def _launch(team: Deployment, recipes: list[str]) -> None:
    """Ask for a run of each recipe, all in one request, as the UI of someone who is signed in does."""
    job = {"repositoryName": "__repository__", "repositoryLocationName": "distill_pipeline", "jobName": "distill"}
    runs = [
        {
            "selector": job,
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": name}]},
        }
        for name in recipes
    ]
    said = team.ask(LAUNCH, proxy=True, runs=runs)["launchMultipleRuns"]
    assert said == {"launchMultipleRunsResult": [{"__typename": "LaunchRunSuccess"}] * len(recipes)}


def _check(watched: Watched, victim: str, shared: Bucket, home: Home) -> None:
    records = watched.records()
    ended = Counter((watched.recipe(record), record.dagster_run.status.value) for record in records)
    killed = next(record for record in records if record.dagster_run.run_id == victim)
    assert ended == {
        **dict.fromkeys([(name, "SUCCESS") for name in RECIPES], 1),
        (watched.recipe(killed), "FAILURE"): 1,
    }
    [retry] = [record for record in records if record.dagster_run.parent_run_id]
    assert retry.dagster_run.parent_run_id == victim

    # Each run uses a teacher, so no two may overlap.
    times = sorted((record.start_time or 0.0, record.end_time or 0.0) for record in records)
    assert all(start < end for start, end in times)
    assert all(end <= start for (_, end), (start, _) in pairwise(times))

    stored, hurt = shared.objects(), watched.recipe(killed)
    for stage in STAGES:
        outputs = watched.outputs(stage)
        told = Counter(recipe for recipe, _, _ in outputs)
        # What the killed run stored without having said so, or said without having ended the step, its retry finds.
        assert told == {**dict.fromkeys(RECIPES, 1), hurt: told[hurt]}
        assert told[hurt] in {1, 2}
        computed = Counter(fingerprint for _, fingerprint, cache in outputs if cache == "computed")
        for recipe, fingerprint, _ in outputs:
            assert computed[fingerprint] == 1 or (recipe == hurt and computed[fingerprint] == 0)
            assert f"{stage}/{fingerprint}/manifest.json" in stored
        fingerprints = {fingerprint for _, fingerprint, _ in outputs}
        assert len([key for key in stored if re.fullmatch(rf"{stage}/\w+/manifest.json", key)]) == len(fingerprints)
    # Two recipes of each teacher share the teacher's embeddings.
    assert len({fingerprint for _, fingerprint, _ in watched.outputs("token_embeddings")}) == 2
    released = sorted(path.name for path in home.releases.iterdir() if not path.name.startswith("."))
    assert released == sorted(RECIPES)
