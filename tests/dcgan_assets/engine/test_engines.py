"""`machine.engine`: what `dcgan engine` writes, and what of it reaches Dagster's settings."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from fixture_types import Refused

from dcgan_assets.cli import main
from dcgan_assets.engine import engines
from dcgan_assets.engine.engines import engine_of
from dcgan_assets.engine.instance import SETTINGS, is_ours, prepare_home
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import Engine, profile_text
from dcgan_models.errors import UserError

PASSWORD = "not-for-logs-4711"  # noqa: S105  (of nobody)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of which params.yaml alone is there."""
    for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
        monkeypatch.setenv(name, "")
    (tmp_path / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    return tmp_path


def engine(root: Path, name: str) -> Result:
    return CliRunner().invoke(main, ["--root", str(root), "engine", name])


def settings(root: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((root / ".dagster_home" / SETTINGS).read_text())
    return read


def template(root: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((root / "cluster" / name).read_text("utf-8"))
    return read


def fill_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read cluster/env as a shell does, with a machine and a password."""
    path = root / "cluster/env"
    text = path.read_text("utf-8").replace("DCGAN_FIRST=", "DCGAN_FIRST=127.0.0.1", 1)
    path.write_text(text.replace("DCGAN_DB_PASSWORD=", f"DCGAN_DB_PASSWORD={PASSWORD}"))
    shell = ["env", "-i", "sh", "-c", f"set -a; . '{path}'; env -0"]
    for line in subprocess.run(shell, capture_output=True, text=True).stdout.split("\0"):
        name, _, value = line.partition("=")
        if name.startswith("DCGAN_DB") or name in {"DCGAN_RAY_ADDRESS", "DCGAN_BROKER"}:
            monkeypatch.setenv(name, value)


# --- What is written --------------------------------------------------------------------------


def test_one_line_of_params_changes_and_back(root: Path) -> None:
    before = (root / "params.yaml").read_text("utf-8").splitlines()
    assert engine(root, "ray").exit_code == 0
    after = (root / "params.yaml").read_text("utf-8").splitlines()
    assert [line for line in after if line not in before] == ["  engine: ray"]
    assert [line for line in after if line != "  engine: ray"] == before
    assert engine_of(Workspace(root)) == "ray"
    assert engine(root, "local").exit_code == 0
    assert engine_of(Workspace(root)) == "local"


def test_what_is_there_stays_and_git_keeps_no_credentials(root: Path) -> None:
    assert engine(root, "ray").exit_code == 0
    private = root / "cluster/env"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    (root / "cluster" / SETTINGS).write_text("telemetry: {enabled: false}\n")
    private.unlink()
    done = engine(root, "ray")
    assert done.output.splitlines()[0] == "written: cluster/env"
    assert (root / "cluster" / SETTINGS).read_text() == "telemetry: {enabled: false}\n"
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    seen = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "cluster/values.yaml" in seen
    assert "cluster/env" not in seen


def test_dagster_reads_the_settings_of_ray(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key is one of Dagster's and of the launcher's own schema, and the rest is ours."""
    assert engine(root, "ray").exit_code == 0
    fill_in(root, monkeypatch)
    prepare_home(Workspace(root))
    home = root / ".dagster_home"
    assert is_ours((home / SETTINGS).read_bytes())
    config, _ = dagster_instance_config(str(home))
    assert config["concurrency"]["runs"]["max_concurrent_runs"] == 4
    keys = {one["key"] for one in config["concurrency"]["runs"]["tag_concurrency_limits"]}
    assert keys == {"dcgan/retrains", "dcgan/place", "dcgan/drives"}
    ref = InstanceRef.from_dir(str(home))
    assert ref.run_coordinator is not None
    assert ref.run_coordinator.dequeue_interval_seconds == 1
    launcher = ref.run_launcher
    assert type(launcher).__name__ == "GpuLauncher"
    assert launcher.address == "http://127.0.0.1:8265"
    assert f"DCGAN_ROOT={root}" in launcher.env_vars
    assert PASSWORD not in (home / SETTINGS).read_text()


def test_dagster_reads_the_settings_of_celery(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And of the same kind is what workers load: launcher and workers have one broker."""
    assert engine(root, "celery").exit_code == 0
    fill_in(root, monkeypatch)
    prepare_home(Workspace(root))
    home = root / ".dagster_home"
    config, _ = dagster_instance_config(str(home))
    keys = {one["key"] for one in config["concurrency"]["runs"]["tag_concurrency_limits"]}
    assert keys == {"dcgan/retrains", "dcgan/place", "dcgan/drives"}
    launcher = InstanceRef.from_dir(str(home)).run_launcher
    address = f"redis://:{PASSWORD}@127.0.0.1:6379/0"
    assert (launcher.broker, launcher.backend) == (address, address)
    assert launcher.celery.conf.worker_max_tasks_per_child == 1
    assert not launcher.supports_resume_run
    assert PASSWORD not in (home / SETTINGS).read_text()


def test_a_folder_of_another_engine_is_refused(root: Path) -> None:
    assert engine(root, "ray").exit_code == 0
    before = (root / "cluster" / SETTINGS).read_bytes()
    done = engine(root, "celery")
    assert done.exit_code == 1
    assert "of the engine ray; move the folder cluster away" in done.output
    assert (root / "cluster" / SETTINGS).read_bytes() == before
    assert engine_of(Workspace(root)) == "ray"


@pytest.mark.parametrize("name", ["ray", "celery"])
def test_the_compose_file_says_what_runs_where(root: Path, name: Engine) -> None:
    engines.write_cluster(root, name)
    services = template(root, "compose.yaml")["services"]
    of = {role: {s for s, facts in services.items() if role in facts["profiles"]} for role in ROLES}
    assert {"database", "ui"} <= of["first"]
    assert "worker" in of["worker"]
    known = {"image", "network_mode", "env_file", "working_dir", "volumes", "profiles"}
    known |= {"command", "depends_on", "environment"}
    assert {key for facts in services.values() for key in facts} <= known
    text = (root / "cluster/compose.yaml").read_text("utf-8")
    assert "__" not in text
    # What it takes of the environment is in the file that it is given.
    env = (root / "cluster/env").read_text("utf-8")
    for word in text.split("${")[1:]:
        assert f"\n{word.partition('}')[0]}=" in env


ROLES = ("first", "worker")
# Of the chart's schema: helm/dagster/schema of dagster-io/dagster.
VALUES = {
    "": "dagsterWebserver dagster-user-deployments postgresql generatePostgresqlPasswordSecret "
    "runLauncher dagsterDaemon global concurrency",
    "global": "postgresqlSecretName dagsterHome",
    "dagster-user-deployments": "enabled deployments",
    "dagsterWebserver": "image env volumes volumeMounts",
    "dagsterDaemon": "image env volumes volumeMounts runCoordinator runMonitoring runRetries",
    "runLauncher": "type config",
}


def test_helm_values_have_the_charts_keys(root: Path) -> None:
    engines.write_cluster(root, "ray")
    values = template(root, "values.yaml")
    for part, known in VALUES.items():
        found = values[part] if part else values
        assert set(found) <= set(known.split()), part
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    assert set(launcher) <= {"image", "envVars", "volumes", "volumeMounts"}
    queue = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert {limit["key"] for limit in queue["tagConcurrencyLimits"]} == {
        "dcgan/retrains",
        "dcgan/place",
    }
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert deployment["dagsterApiGrpcArgs"] == ["-m", "dcgan_assets.definitions"]


# --- What is refused --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"DCGAN_ROOT": "/no/such/workspace"}, "error: root /no/such/workspace: no such folder"),
        ({"DAGSTER_HOME": "/elsewhere"}, "error: DAGSTER_HOME is /elsewhere, and must be "),
        ({"DCGAN_BROKER": ""}, "error: DCGAN_BROKER is not set"),
    ],
)
def test_a_celery_worker_that_could_carry_out_nothing_does_not_start(
    root: Path, change: dict[str, str], words: str
) -> None:
    prepare_home(Workspace(root))
    here = {"DCGAN_ROOT": str(root), "DAGSTER_HOME": str(root / ".dagster_home")}
    env = {**os.environ, **here, "DCGAN_BROKER": "memory://", **change}
    words_of_it = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "dcgan_assets.engine.celery_runs",
        "worker",
    ]
    done = subprocess.run(words_of_it, capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_params_is_refused_and_not_shown(root: Path) -> None:
    path = root / "params.yaml"
    word = f"redis://user:{PASSWORD}@host/0"
    path.write_text(path.read_text().replace("machine:", f"machine:\n  engine: {word}"))
    done = engine(root, "local")
    assert done.exit_code == 1
    assert "machine.engine: the name of an engine" in done.output
    assert PASSWORD not in done.output


def test_an_engine_without_its_settings_is_refused(root: Path, refused: Refused) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("machine:", "machine:\n  engine: ray"))
    with refused("cluster/dagster.yaml is missing", "`dcgan engine ray` writes it"):
        prepare_home(Workspace(root))


def test_an_engine_without_its_extra_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engines._PACKAGES, "ray", ("no_such_package_of_ray",))
    done = engine(root, "ray")
    assert done.exit_code == 1
    assert "install dcgan-assets with its extra `ray`" in done.output
    assert not (root / "cluster").exists()


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("storage.postgres.postgres_db.password", {"postgres_db": {"password": PASSWORD}}),
        ("storage.postgres.postgres_url", {"postgres_url": f"postgresql://u:{PASSWORD}@h/d"}),
        ("storage.postgres.postgres_db.hostname", {"postgres_db": {"hostname": "a://u:p@h"}}),
    ],
)
def test_a_written_credential_is_refused_and_not_shown(
    root: Path, key: str, change: dict[str, Any]
) -> None:
    assert engine(root, "ray").exit_code == 0
    text = yaml.safe_dump({"storage": {"postgres": change}})
    (root / "cluster" / SETTINGS).write_text(text)
    with pytest.raises(UserError, match=key) as caught:
        prepare_home(Workspace(root))
    assert "it comes from the environment: {env: NAME}" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert not (root / ".dagster_home" / SETTINGS).exists()


def test_a_broker_that_does_not_answer_is_one_line_without_its_address() -> None:
    from dcgan_assets.engine.celery_runs import AskingLauncher

    launcher = AskingLauncher(default_queue="dagster", broker=f"redis://:{PASSWORD}@127.0.0.1:1/0")
    assert launcher.complaint() == "the broker (DCGAN_BROKER) does not answer (ConnectionError)"


@pytest.mark.slow  # Dagster tries for ten seconds
def test_a_database_that_does_not_answer_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine(root, "ray").exit_code == 0
    fill_in(root, monkeypatch)
    monkeypatch.setenv("DCGAN_DB_PORT", "1")
    done = CliRunner().invoke(main, ["--root", str(root), "materialize", "mnist", "--dry-run"])
    assert done.exit_code == 1
    (line,) = [one for one in done.output.splitlines() if one.startswith("error: ")]
    assert "Connection refused" in line
    assert PASSWORD not in done.output
    assert os.environ["DCGAN_DB_PASSWORD"] == PASSWORD
