"""The code location: what loading it costs, what it holds, and which package imports which."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import dcgan_assets
import dcgan_models
from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.definitions import build_definitions
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.dagster_assets import Launch, SeededLaunch
from dcgan_assets.engine.living_runs import living_executor
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PROFILES, profile_text

# Each of these costs every process of Dagster seconds and hundreds of megabytes.
HEAVY = (
    *("torch", "torchvision", "cv2", "sklearn", "scipy", "optuna", "matplotlib", "mlxtend"),
    *("pandas", "dvc", "aiohttp"),
)


def write_root(folder: Path, profile: str = "sample") -> Workspace:
    (folder / "params.yaml").write_text(profile_text(profile), encoding="utf-8")
    return Workspace(folder)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return open_catalogue(write_root(tmp_path_factory.mktemp("workspace")))


@pytest.fixture(scope="module")
def definitions(catalogue: Catalogue) -> dg.Definitions:
    return build_definitions(catalogue)


# --- Loading --------------------------------------------------------------------------------

_LOADER = """
import json, sys
parsed = []
# `ast.parse` compiles, too, and names no file.
sys.addaudithook(lambda event, about: event == "compile" and parsed.append(about[1]))
from dcgan_assets.definitions import defs
keys = [key.to_user_string() for key in defs().resolve_asset_graph().get_all_asset_keys()]
loaded = {"keys": keys, "loaded": sorted(sys.modules), "parsed": parsed.count("<unknown>")}
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh process has loaded with the code location, as Dagster starts it.

    It is the second one that uses a cache folder, which is not the user's: others write there.
    """
    root = tmp_path_factory.mktemp("location")
    write_root(root)
    (root / "dvc.yaml").touch()
    cache = str(tmp_path_factory.mktemp("cache"))
    first, second = (
        subprocess.run(
            [sys.executable, "-c", _LOADER],
            cwd=root,
            env={**os.environ, "XDG_CACHE_HOME": cache, "HOME": cache},
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(2)
    )
    assert json.loads(first.stdout)["parsed"] > 0
    found: dict[str, Any] = json.loads(second.stdout)
    return found


@pytest.mark.parametrize("module", HEAVY)
def test_loading_the_graph_does_not_load(module: str, loaded: dict[str, Any]) -> None:
    assert module not in loaded["loaded"]


def test_loading_the_graph_again_parses_no_source(loaded: dict[str, Any]) -> None:
    # The process before it remembered the outlines.
    assert loaded["parsed"] == 0


def test_the_location_holds_the_workspaces_assets(
    loaded: dict[str, Any], catalogue: Catalogue
) -> None:
    assert set(loaded["keys"]) == set(catalogue.by_key)
    assert "dcgan_models.presets" in loaded["loaded"]


# --- One direction --------------------------------------------------------------------------


def imports_of(package: Any) -> Iterator[tuple[str, str]]:
    """Every module that every file of a package imports, with the place."""
    for path in sorted(Path(package.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield f"{path.name}:{node.lineno}", alias.name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: versions.py follows no relative one"
                yield f"{path.name}:{node.lineno}", node.module or ""


def test_the_science_knows_nothing_of_the_pipeline() -> None:
    refused = ("dcgan_assets", "dagster", "dvc", "requests", "urllib3", "http", "urllib")
    wrong = [
        (place, name)
        for place, name in imports_of(dcgan_models)
        if name.split(".", maxsplit=1)[0] in refused
    ]
    assert wrong == []
    assert any(name.startswith("torch") for _, name in imports_of(dcgan_models)), "it was read"


def test_the_pipeline_imports_the_science_by_full_names() -> None:
    names = {name for _, name in imports_of(dcgan_assets)}
    assert {"dcgan_models.errors", "dcgan_models.training", "dagster"} <= names


# --- Assets ---------------------------------------------------------------------------------


def test_dagster_takes_the_definitions(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_resolves(tmp_path: Path, profile: str) -> None:
    catalogue = open_catalogue(write_root(tmp_path, profile))
    for step in catalogue.steps:
        assert catalogue.section(step).identity()
        assert re.fullmatch(r"[0-9a-f]{16}", catalogue.code_version(step))


def specs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    return list(definitions.resolve_all_asset_specs())


def test_every_asset_is_described(definitions: dg.Definitions, catalogue: Catalogue) -> None:
    found = specs(definitions)
    assert {spec.key.to_user_string() for spec in found} == set(catalogue.by_key)
    for spec in found:
        key = spec.key.to_user_string()
        assert spec.group_name == key.split("/")[0], key
        assert spec.kinds, key
        assert spec.owners == ["team:dcgan"], key
        assert spec.code_version, key
        assert re.search(r"[Ss]ections? \d|Figures? \d|Table \d", spec.description or ""), key


def test_every_check_is_described_and_belongs_to_an_asset(
    definitions: dg.Definitions, catalogue: Catalogue
) -> None:
    graph = definitions.resolve_asset_graph()
    declared = {
        (step.key, check.name): check.description
        for step in catalogue.steps
        for check in step.checks
    }
    found = {
        (key.asset_key.to_user_string(), key.name): graph.get_check_spec(key).description
        for key in graph.asset_check_keys
    }
    assert found == declared
    assert all(description and description.endswith(".") for description in found.values())


def test_the_graph_has_the_designs_edges(catalogue: Catalogue) -> None:
    """Names are a contract."""
    inputs = {key: step.inputs for key, step in catalogue.by_key.items()}
    assert inputs["mnist/images"] == ()
    assert inputs["mnist/candidate"] == inputs["mnist/fc_candidate"] == ("mnist/images",)
    assert "mnist/candidate" in inputs["mnist/generator"]
    assert catalogue.by_key["mnist/discriminator"] is catalogue.by_key["mnist/generator"]
    for key in ("mnist/sample_panels", "mnist/nearest_neighbour_scores"):
        assert {"mnist/images", "mnist/generator", "mnist/fc_generator"} == set(inputs[key])


def test_only_what_publishes_and_measures_reads_a_candidate(catalogue: Catalogue) -> None:
    """Everything else would change with a candidate that nobody published."""
    for step in catalogue.steps:
        read = {key for key in step.inputs if catalogue.by_key[key].transient}
        measures = step.transient and step.key.endswith("/quality")
        assert not read or step.kind == "models" or measures, step.key


def test_every_group_of_pictures_has_its_gate(catalogue: Catalogue) -> None:
    """Candidate and champion are measured in the group's own feature space, before publishing."""
    groups = {step.group for step in catalogue.steps if step.key.endswith("/training_set")}
    assert groups >= {"lsun", "imagenet", "svhn"}
    for group in groups:
        quality, published, extractor = (
            catalogue.by_key[f"{group}/{name}"] for name in ("quality", "generator", "extractor")
        )
        assert {f"{group}/candidate", f"{group}/extractor"} < set(quality.inputs)
        assert set(published.inputs) == {f"{group}/candidate", f"{group}/quality"}
        assert extractor.kept
        assert f"{group}/candidate" not in extractor.inputs


def test_trainings_take_turns_on_the_gpu_and_take_a_seed(catalogue: Catalogue) -> None:
    for step in catalogue.steps:
        if step.transient and step.kind == "models":
            assert step.pool == "gpu", step.key
            assert step.seeded, step.key
            assert {check.name for check in step.checks} >= {"finite_losses"}, step.key


def test_every_trained_group_has_a_schedule_that_is_off(
    catalogue: Catalogue, definitions: dg.Definitions
) -> None:
    schedules = {s.name: s for s in definitions.get_repository_def().schedule_defs}
    groups = catalogue.workspace.params.trained_groups()
    assert set(schedules) == {f"retrain_{group}_schedule" for group in groups}
    for schedule in schedules.values():
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
        assert schedule.cron_schedule == "0 3 * * 0"


def test_a_retraining_goes_from_candidate_to_publishing(definitions: dg.Definitions) -> None:
    networks = {"generator", "discriminator"}
    made = {
        group: {
            key.to_user_string()
            for key in definitions.resolve_job_def(
                f"retrain_{group}"
            ).asset_layer.selected_asset_keys
        }
        for group in ("lsun", "mnist")
    }
    assert made["lsun"] == {f"lsun/{name}" for name in ("candidate", "quality", *networks)}
    assert made["mnist"] == {
        f"mnist/{name}" for name in ("candidate", "fc_candidate", "fc_generator", *networks)
    }


def test_run_configuration_names_no_place_and_no_code(definitions: dg.Definitions) -> None:
    """Whoever may start a run may say whether and by which chance, and nothing else."""
    job = definitions.resolve_implicit_global_asset_job_def()
    for node in job.graph.node_defs:
        fields = node.config_schema.config_type.fields  # type: ignore[attr-defined]
        assert "force" in fields
        assert set(fields) <= {"force", "seed"}, node.name
    assert SeededLaunch.__annotations__ == {"seed": "int"}
    assert Launch.__annotations__ == {"force": "bool"}


def test_string_selections_work(definitions: dg.Definitions) -> None:
    """Dagster parses them with an antlr of its own; DVC's packages must not ask for another."""
    selection = dg.AssetSelection.from_string('key:"mnist/images"+')
    chosen = {key.to_user_string() for key in selection.resolve(definitions.resolve_asset_graph())}
    assert {"mnist/images", "mnist/candidate", "mnist/fc_candidate"} <= chosen
    assert "report/architecture" not in chosen


def test_steps_run_in_the_process_of_their_run(definitions: dg.Definitions) -> None:
    """Most are shorter than the start of a process; and no policy may restart a training."""
    assert definitions.executor is living_executor
    assert living_executor.name == dg.in_process_executor.name
    for asset in definitions.resolve_all_job_defs()[0].asset_layer.asset_graph.assets_defs:
        assert asset.op.retry_policy is None
        assert asset.backfill_policy is None
