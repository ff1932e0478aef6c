"""The sensor and the schedule on a real instance: no run storm, no lost change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.definitions import defs
from distill_pipeline.defs import automation
from distill_pipeline.defs.automation import PARTITION_TAG, RUN_KEY_TAG, stale_recipes, teacher_watch
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.hub import access
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey
from distill_pipeline_tests.conftest import RECIPE_NAMES
from distill_pipeline_tests.servers.hub import Fault, Hub
from distill_pipeline_tests.servers.hub_api import Repository

TEACHER = "them/teacher"
OTHER = "them/other"


class Ticks:
    """What Dagster's daemon does with a sensor and a schedule: evaluates them, keeps the cursor, starts runs."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home, self.instance = home, instance
        self.bound = DistillHome(home, dg.StaticPartitionsDefinition(list(RECIPE_NAMES)))
        self.cursor: str | None = None
        self.observed: list[dg.AssetObservation] = []

    def sensor(self, *, commit: bool = True) -> list[str]:
        """Evaluate the sensor; returns the partitions it asks to run. Without commit the tick fails after that."""
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            result = teacher_watch(context, self.bound)
        assert isinstance(result, dg.SensorResult)
        runs = list(result.run_requests or [])
        if commit:
            self.cursor = result.cursor
            self.observed += [event for event in result.asset_events if isinstance(event, dg.AssetObservation)]
            self._start(runs)
        return [str(run.partition_key) for run in runs]

    def schedule(self, day: int = 1, *, start: bool = True) -> list[str]:
        """Evaluate the schedule at three on a day of January; returns the partitions it asks to run."""
        at_three = datetime(2026, 1, day, 3, tzinfo=UTC)
        with dg.build_schedule_context(instance=self.instance, scheduled_execution_time=at_three) as context:
            result: Any = stale_recipes(context, self.bound)
        runs = [] if isinstance(result, dg.SkipReason) else list(result)
        if start:
            self._start(runs)
        return [str(run.partition_key) for run in runs]

    def _start(self, runs: list[dg.RunRequest]) -> None:
        for run in runs:
            tags = {PARTITION_TAG: str(run.partition_key), RUN_KEY_TAG: str(run.run_key)}
            self.instance.create_run_for_job(_job, tags=tags, status=dg.DagsterRunStatus.STARTED)

    def finish(self, recipe: Recipe, commit: str | None = None) -> None:
        """End the run under way: with a release made of the teacher's commit, or, without one, as a failure."""
        for run in self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            if commit:
                self.release(recipe, commit)
                success = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
                self.instance.report_dagster_event(success, run.run_id)
            else:
                self.instance.report_run_failed(run)

    def release(self, recipe: Recipe, commit: str) -> None:
        """Store empty outputs as a run of this recipe would."""
        identity = {"repository": recipe.teacher_location, "commit": commit}
        for key in stage_keys(recipe, identity).values():
            self.home.store.get_or_make(key, lambda _: {"teacher": identity})
            self.home.store.record_inputs(recipe.name, key)


@dg.job
def _job() -> None:
    pass


@pytest.fixture(autouse=True)
def questions_each_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask at each tick; that an answer is kept has a test of its own."""
    monkeypatch.setattr("distill_pipeline.chain.watching.SECONDS_BETWEEN_CHECKS", 0.0)
    monkeypatch.setattr(automation, "ERROR_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(access, "ANSWER_TIMEOUT_SECONDS", 0.4)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """An instance on disk; making one takes seconds, so the tests share it, emptied."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


@pytest.fixture
def ticks(home: Home, hub: Hub, instance: dg.DagsterInstance) -> Ticks:
    """Ticks on an instance without any runs."""
    instance.wipe()
    return Ticks(home, instance)


@pytest.fixture
def teacher(hub: Hub) -> Repository:
    """A teacher on the Hub."""
    return hub.create(TEACHER)


Save = Callable[..., Recipe]


@pytest.fixture
def save(home: Home) -> Save:
    """Saves a recipe with the Hub's teacher."""

    def make(name: str = "tiny", **fields: Any) -> Recipe:
        recipe = make_recipe({"name": name, "teacher": TEACHER, **fields}, source="test")
        home.save_recipe(recipe)
        return recipe

    return make


def questions(hub: Hub) -> int:
    """Return how often the Hub was asked about the teacher; the shipped recipes follow others."""
    return sum(TEACHER in path for _, path in hub.requests)


def move(teacher: Repository) -> str:
    """Put a commit on the teacher's main branch."""
    return teacher.commit("refs/heads/main", f"change {len(teacher.commits)}", dict(teacher.head.files)).oid


def test_all_are_off_until_someone_switches_them_on() -> None:
    sensors = {sensor.name: sensor.default_status for sensor in defs.sensors or ()}
    assert set(sensors) == {"teacher_watch", "release_watch", "overview", "failure_alarm"}
    assert set(sensors.values()) == {dg.DefaultSensorStatus.STOPPED}
    [schedule] = defs.schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_a_moved_teacher_is_observed_and_its_recipes_run_once(ticks: Ticks, teacher: Repository, save: Save) -> None:
    recipe = save()
    ticks.release(recipe, teacher.head.oid)
    assert ticks.sensor() == []
    commit = move(teacher)
    assert ticks.sensor() == ["tiny"]
    assert ticks.sensor() == []
    ticks.finish(recipe, commit)
    assert ticks.sensor() == []
    last = ticks.observed[-1]
    assert (last.asset_key.to_user_string(), last.partition) == ("teacher", "tiny")
    assert last.metadata["commit"].value == commit
    assert len(ticks.observed) == 2


def test_pinned_local_and_never_released_recipes_are_left_alone(
    ticks: Ticks, teacher: Repository, save: Save, hub: Hub, tmp_path: Path
) -> None:
    pinned = save("tiny", revision=teacher.head.oid)
    save("other", teacher=str(tmp_path))
    save("third")
    ticks.release(pinned, teacher.head.oid)
    move(teacher)
    assert ticks.sensor() == []
    assert questions(hub) == 1


def test_a_teacher_is_asked_once_however_many_recipes_follow_it(
    ticks: Ticks, teacher: Repository, save: Save, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill_pipeline.chain.watching.SECONDS_BETWEEN_CHECKS", 600.0)
    for name in ("tiny", "other", "third"):
        ticks.release(save(name), teacher.head.oid)
    ticks.sensor()
    ticks.sensor()
    assert questions(hub) == 1


def test_a_tick_that_failed_before_its_cursor_was_kept_loses_no_change(
    ticks: Ticks, teacher: Repository, save: Save
) -> None:
    ticks.release(save(), teacher.head.oid)
    ticks.sensor()
    move(teacher)
    assert ticks.sensor(commit=False) == ["tiny"]
    assert ticks.sensor() == ["tiny"]


def test_two_ticks_that_overlap_start_one_run(ticks: Ticks, teacher: Repository, save: Save) -> None:
    ticks.release(save(), teacher.head.oid)
    move(teacher)
    cursor = ticks.cursor
    assert ticks.sensor() == ["tiny"]
    ticks.cursor = cursor
    assert ticks.sensor() == []


def test_a_failed_run_is_tried_again_the_next_day_and_not_at_each_tick(
    ticks: Ticks, teacher: Repository, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = save()
    ticks.release(recipe, teacher.head.oid)
    commit = move(teacher)
    assert ticks.sensor() == ["tiny"]
    ticks.finish(recipe)
    assert [ticks.sensor() for _ in range(20)] == [[]] * 20
    today = time.time
    monkeypatch.setattr(time, "time", lambda: today() + 86_400)
    assert ticks.sensor() == ["tiny"]
    ticks.finish(recipe, commit)
    assert ticks.sensor() == []


def test_a_teacher_that_moves_while_a_run_is_under_way_is_not_lost(
    ticks: Ticks, teacher: Repository, save: Save
) -> None:
    recipe = save()
    ticks.release(recipe, teacher.head.oid)
    first = move(teacher)
    assert ticks.sensor() == ["tiny"]
    second = move(teacher)
    assert ticks.sensor() == []
    ticks.finish(recipe, first)
    assert ticks.sensor() == ["tiny"]
    ticks.finish(recipe, second)
    assert ticks.sensor() == []


@pytest.mark.parametrize("kind", ["429", "503", "drop", "stall", "401", "404"])
def test_a_hub_that_cant_be_asked_for_one_teacher_holds_up_no_other(
    ticks: Ticks, teacher: Repository, save: Save, hub: Hub, kind: str
) -> None:
    other = hub.create(OTHER)
    ticks.release(save("tiny"), teacher.head.oid)
    ticks.release(save("other", teacher=OTHER), other.head.oid)
    move(teacher)
    move(other)
    hub.faults.append(Fault(kind, "GET", TEACHER))
    assert ticks.sensor() == ["other"]
    assert ticks.sensor() == ["tiny"]


def test_a_hub_that_asks_to_wait_is_left_alone_that_long(
    ticks: Ticks, teacher: Repository, save: Save, hub: Hub
) -> None:
    ticks.release(save(), teacher.head.oid)
    move(teacher)
    hub.faults.append(Fault("429", "GET", TEACHER, retry_after=3600))
    assert [ticks.sensor() for _ in range(3)] == [[], [], []]
    assert questions(hub) == 1


def test_the_schedule_runs_what_is_stale_partition_by_partition(ticks: Ticks, teacher: Repository, save: Save) -> None:
    for name in ("tiny", "other", "third"):
        ticks.release(save(name), teacher.head.oid)
    save("fourth")  # never released: a schedule isn't the first to publish
    assert ticks.schedule() == []
    save("other", pca_dims=64)
    assert ticks.schedule() == ["other"]
    move(teacher)
    assert sorted(ticks.schedule(2)) == ["third", "tiny"]


def test_the_schedule_starts_no_second_run_and_tries_a_failed_one_once_a_tick(
    ticks: Ticks, teacher: Repository, save: Save
) -> None:
    recipe = save()
    ticks.release(recipe, teacher.head.oid)
    changed = save(pca_dims=64)
    assert ticks.schedule(1, start=False) == ["tiny"]
    assert ticks.schedule(1) == ["tiny"]
    assert ticks.schedule(1) == []
    assert ticks.schedule(2) == []  # yesterday's run is still under way
    ticks.finish(changed)
    assert ticks.schedule(2) == ["tiny"]
    ticks.finish(changed)
    assert ticks.schedule(2) == []
    assert ticks.schedule(3) == ["tiny"]
    ticks.finish(changed, teacher.head.oid)
    assert ticks.schedule(4) == []


def test_an_output_that_was_removed_is_made_again(ticks: Ticks, teacher: Repository, save: Save, home: Home) -> None:
    recipe = save()
    ticks.release(recipe, teacher.head.oid)
    key: StageKey = stage_keys(recipe, {"repository": TEACHER, "commit": teacher.head.oid})["student_matrix"]
    (home.store.folder(key) / "manifest.json").unlink()
    assert ticks.schedule() == ["tiny"]


def test_a_teacher_that_cant_be_found_holds_up_no_other_recipe(
    ticks: Ticks, teacher: Repository, save: Save, hub: Hub
) -> None:
    ticks.release(save("tiny"), teacher.head.oid)
    ticks.release(save("other", teacher="them/vanished"), "0" * 40)
    save("tiny", pca_dims=64)
    assert ticks.schedule() == ["tiny"]
