"""Where the teacher runs: what is refused, what waits, and what an old home gets."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import same_encoding, stage_keys
from distill_pipeline.cli.main import main
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.locks import locked
from distill_pipeline_tests.running import Chain

MakeRecipe = Callable[..., Recipe]
ENCODE = ["vocabulary", "token_embeddings"]
SENTENCES = ["text_embeddings"]


def _failure(result: dg.ExecuteInProcessResult) -> str:
    [failure] = result.filter_events(lambda event: event.is_step_failure)
    return str(failure.step_failure_data.error)


def test_a_misspelt_encoder_is_refused_with_the_nearest_one(
    chain: Chain, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_ENCODER", "rey")
    failure = _failure(chain.run(recipe(), ENCODE, raise_on_error=False))
    assert "encoder='rey': use one of local, ray. Did you mean ray?" in failure


def test_ray_that_is_not_installed_is_named_with_the_extra_to_install(
    chain: Chain, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_ENCODER", "ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert 'make setup EXTRAS="ray"' in _failure(chain.run(recipe(), ENCODE, raise_on_error=False))


def test_a_run_waits_for_another_teacher_on_this_machine(
    chain: Chain, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.run(recipe(), ENCODE[:1])
    path = chain.home.root / f"teacher.{platform.node()}.lock"
    program = f"import filelock, sys\nwith filelock.FileLock({str(path)!r}):\n print(flush=True)\n sys.stdin.read()"
    command = [sys.executable, "-c", program]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdout.readline()
    let_go = other.stdin.close

    def until_it_is_said(file: Path, say: Callable[[], None]) -> AbstractContextManager[None]:
        def say_and_let_go() -> None:
            say()
            let_go()

        return locked(file, say_and_let_go)

    monkeypatch.setattr("distill_pipeline.defs.encode.locked", until_it_is_said)
    result = chain.run(recipe(), ENCODE[1:])
    let_go()
    assert other.wait(timeout=20) == 0
    messages = [entry.user_message for entry in chain.instance.all_logs(result.run_id)]
    assert "another run on this machine uses a teacher; waiting for it" in messages
    assert chain.output(recipe(), "token_embeddings").facts["forward"] == "modernbert"


def test_texts_that_an_earlier_output_holds_are_not_paid_for_twice_but_when_forced(
    chain: Chain, recipe: MakeRecipe, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    lines = [f"The passage number {number} of this corpus is short." for number in range(150)]
    settings = {"refinement": "corpus", "corpus": [str(corpus)], "generated_texts": 90, "phrases": 0}

    def resumed(*, force: bool = False, **more: object) -> int:
        result = chain.run(recipe(**{**settings, **more}), SENTENCES, force=SENTENCES if force else [])
        assert chain.cache(result) == {"text_embeddings": "computed"}
        return int(chain.metadata(result)["text_embeddings"]["rows_resumed"])

    corpus.write_text("\n".join(lines), encoding="utf-8")
    assert resumed() == 0
    first = chain.output(recipe(**settings), SENTENCES[0])
    corpus.write_text("\n".join([*lines, "This passage is a new one."]), encoding="utf-8")
    assert resumed() == 90  # those that were generated; passages come in parts of 8,192, and here there is but one
    grown = chain.output(recipe(**settings), SENTENCES[0])
    assert resumed(force=True) == 0
    forced = chain.output(recipe(**settings), SENTENCES[0])
    assert forced.key == grown.key != first.key
    assert forced.manifest["files"] == grown.manifest["files"]
    assert resumed(generated_texts=120) == grown.facts["groups"][0]


@pytest.mark.parametrize("field", ["stage", "code_version", "teacher", "pooling", "precision"])
def test_what_another_teacher_made_or_in_another_way_is_no_earlier_output(recipe: MakeRecipe, field: str) -> None:
    inputs = stage_keys(recipe(), {"sha256": "0"})[SENTENCES[0]].inputs
    assert same_encoding(inputs, stage_keys(recipe(seed=1), {"sha256": "0"})[SENTENCES[0]].inputs)
    other = {**inputs, field: "another"} if field in inputs else {**inputs, "recipe": {**inputs["recipe"], field: 0}}
    assert not same_encoding(inputs, other)


def test_dagster_reads_the_limit_of_the_pool_that_a_new_home_sets(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home.prepare_dagster()
    with dg.DagsterInstance.from_config(str(home.root / "dagster")) as instance:
        pools = instance.get_concurrency_config().pool_config
    assert pools.default_pool_limit == 1
    assert pools.pool_granularity is not None
    assert pools.pool_granularity.value == "run"


def test_a_pool_has_its_limit_before_the_first_runs_wait(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    main(["init"])
    with dg.DagsterInstance.from_config(str(home.root / "dagster")) as instance:
        assert [(limit.name, limit.limit) for limit in instance.event_log_storage.get_pool_limits()] == [("teacher", 1)]
        instance.event_log_storage.set_concurrency_slots("teacher", 3)
    main(["init"])
    with dg.DagsterInstance.from_config(str(home.root / "dagster")) as instance:
        assert [limit.limit for limit in instance.event_log_storage.get_pool_limits()] == [3]


def test_runs_that_use_a_fresh_dagster_home_at_once_all_find_its_tables(tmp_path: Path) -> None:
    # Loaded once: each run is a process forked from there, and all begin when the last one is there.
    program = (
        "import os, signal\n"
        "from distill_pipeline.chain.home import Home, default_home\n"
        "from distill_pipeline.cli.running import _instance\n"
        "import dagster\n"
        "wait, go = os.pipe()\n"
        "runs = []\n"
        "for _ in range(4):\n"
        "    runs.append(os.fork())\n"
        "    if not runs[-1]:\n"
        "        signal.alarm(100)\n"
        "        os.close(go)\n"
        "        os.read(wait, 1)\n"
        "        with _instance(Home(default_home())) as instance:\n"
        "            found = len(instance.get_runs(limit=1)), instance.schedule_storage.all_instigator_state()\n"
        "        print(*found, flush=True)\n"
        "        os._exit(0)\n"
        "os.close(go)\n"
        "print([os.waitstatus_to_exitcode(os.waitpid(run, 0)[1]) for run in runs])\n"
    )
    environment = {**os.environ, "DISTILL_HOME": str(tmp_path / "home"), "DAGSTER_HOME": str(tmp_path / "dagster")}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    assert ended.stdout.splitlines() == [*["0 []"] * 4, "[0, 0, 0, 0]"], ended.stderr
