"""The files of deploy/ fit together: nothing they name is missing, and no secret has a value. `team/` runs them."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from distill_pipeline.chain.home import Home
from distill_pipeline_tests import PROJECT

DEPLOY = PROJECT / "deploy"
SECRET = re.compile("PASSWORD|TOKEN|KEY")


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _services() -> dict[str, Any]:
    services: dict[str, Any] = _read(DEPLOY / "compose.yaml")["services"]
    return services


def _asked_for(value: Any) -> Iterator[str]:
    """Yield each name in an `env:` of a Dagster file."""
    if isinstance(value, Mapping):
        if set(value) == {"env"}:
            yield value["env"]
        for below in value.values():
            yield from _asked_for(below)
    elif isinstance(value, list):
        for below in value:
            yield from _asked_for(below)


def _example() -> dict[str, str]:
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _missing(wanted: Any, found: Any) -> list[str]:
    """Return what of a nested mapping isn't in another."""
    if not isinstance(wanted, Mapping):
        return [] if wanted == found else [f"{found!r} instead of {wanted!r}"]
    return [f"{key}: {gap}" for key, value in wanted.items() for gap in _missing(value, (found or {}).get(key))]


def test_a_team_keeps_every_setting_that_a_single_machine_gets(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home.prepare_dagster()
    assert _missing(_read(home.root / "dagster" / "dagster.yaml"), _read(DEPLOY / "dagster.yaml")) == []


@pytest.mark.parametrize(
    ("service", "files"),
    [
        ("init", ["dagster.yaml"]),
        ("code", ["dagster.yaml"]),
        ("webserver", ["dagster.yaml", "workspace.yaml"]),
        ("daemon", ["dagster.yaml", "workspace.yaml"]),
    ],
)
def test_each_service_has_what_its_files_ask_for_and_a_program_to_run(service: str, files: list[str]) -> None:
    definition = _services()[service]
    asked = {name for file in files for name in _asked_for(_read(DEPLOY / file))}
    assert asked <= set(definition["environment"])
    assert Path(sys.executable).with_name(definition["command"][0]).is_file()
    dockerfile = definition["build"]["dockerfile"]
    assert (DEPLOY / definition["build"]["context"] / dockerfile).samefile(DEPLOY / "Dockerfile")


def test_only_runs_see_the_token_and_the_store_keys() -> None:
    for name, service in _services().items():
        secrets = {variable for variable in service["environment"] if SECRET.search(variable)}
        if name not in {"code", "bucket"}:
            assert secrets <= {"DAGSTER_POSTGRES_PASSWORD", "POSTGRES_PASSWORD"}, name


def test_the_example_names_every_variable_and_gives_no_secret() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    handed_on = {
        name for service in _services().values() for name, value in service["environment"].items() if not value
    }
    used = set(re.findall(r"\$\{(\w+)", text)) | handed_on
    example = _example()
    mentioned = set(re.findall(r"^#? ?([A-Z0-9_]+)=", (DEPLOY / ".env.example").read_text(encoding="utf-8"), re.M))
    assert used <= mentioned
    assert set(example) <= used
    assert not {name for name, value in example.items() if SECRET.search(name) and value}
    assert "deploy/.env" in (PROJECT / ".gitignore").read_text(encoding="utf-8")


def test_the_image_is_built_from_files_that_are_there_and_runs_as_nobody_special() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (?!--)(.*)$", dockerfile, re.M) for word in line.split()[:-1]]
    let_through = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied
    for name in copied:
        assert (PROJECT / name).exists(), name
        assert f"!{name}" in let_through
    assert re.findall(r"^USER (\w+)$", dockerfile, re.M)[-1] == "distill"
    [(target, extras)] = re.findall(r'RUN make (\w+) DEV= EXTRAS="([a-z0-9 ]+)"', dockerfile)
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    assert f"\n{target}: $(call with,$(DEV))" in makefile
    known = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {"postgres", "ray", "s3"} <= set(extras.split()) <= set(known)


def test_volumes_and_dependencies_are_declared() -> None:
    compose = _read(DEPLOY / "compose.yaml")
    for service in compose["services"].values():
        volumes = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        # A file of the deployer's own, which the README has made.
        assert volumes - {"./users"} <= set(compose["volumes"])
        assert set(service.get("depends_on", {})) <= set(compose["services"])


def test_the_proxy_alone_is_reached_from_outside_and_has_what_its_file_asks_for() -> None:
    assert [name for name, service in _services().items() if service.get("ports")] == ["proxy"]
    proxy, caddyfile = _services()["proxy"], (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    asked = set(re.findall(r"\{\$(\w+)\}", caddyfile))
    assert asked == {"DISTILL_UI_URL", "DISTILL_WEBSERVER"}
    assert asked <= set(proxy["environment"])
    assert "deploy/users" in (PROJECT / ".gitignore").read_text(encoding="utf-8")
