"""dvc.yaml says what the asset graph says, and DVC takes it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_graph
import yaml
from small_graph import SmallGraph

from dcgan_assets.catalogue import open_catalogue
from dcgan_assets.dvc_bridge import DVC_FILE, dvc_yaml, is_current, write_dvc_yaml
from dcgan_assets.materialize import choose_steps
from dcgan_assets.params import PROFILES, profile_text, validate_params
from dcgan_assets.steps import Catalogue
from dcgan_assets.workspace import Workspace
from dcgan_models.errors import UserError

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """All steps, with the checkout's params.yaml. Nothing is written there."""
    return open_catalogue(Workspace(CHECKOUT))


@pytest.fixture(scope="module")
def stages(catalogue: Catalogue) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(dvc_yaml(catalogue))["stages"]
    return found


def paths_of(stage: dict[str, Any]) -> list[str]:
    return [str(next(iter(out)) if isinstance(out, dict) else out) for out in stage["outs"]]


def made_by(stage: dict[str, Any]) -> list[str]:
    """The assets that a stage's command names."""
    words: list[str] = stage["cmd"].split()
    program, command, only, *keys = words
    assert (program, command, only) == ("dcgan", "materialize", "--only")
    return keys


# --- The checkout ---------------------------------------------------------------------------


def test_the_checkouts_dvc_yaml_is_the_graphs(catalogue: Catalogue) -> None:
    assert is_current(catalogue), "run `dcgan dvc-sync`"


def test_every_kept_asset_is_in_exactly_one_stage(
    catalogue: Catalogue, stages: dict[str, Any]
) -> None:
    kept = {
        key
        for step in catalogue.steps
        for key in step.outputs
        if not (step.transient or step.optional)
    }
    named = Counter(key for stage in stages.values() for key in stage["meta"]["dagster_assets"])
    assert named == Counter(kept)
    places = Counter(path for stage in stages.values() for path in paths_of(stage))
    assert places == Counter(catalogue.artefact(key).path.as_posix() for key in kept)


def test_a_transient_asset_is_made_by_the_stage_of_what_publishes_it(
    catalogue: Catalogue, stages: dict[str, Any]
) -> None:
    commands = Counter(key for stage in stages.values() for key in made_by(stage))
    for step in catalogue.steps:
        for key in step.outputs:
            assert commands[key] == (0 if step.optional else 1), key
    assert made_by(stages["mnist-generator"]) == [
        "mnist/candidate",
        "mnist/generator",
        "mnist/discriminator",
    ]


def test_a_stages_command_makes_what_it_says_in_order(
    catalogue: Catalogue, stages: dict[str, Any]
) -> None:
    for stage in stages.values():
        steps = choose_steps(catalogue, made_by(stage))
        assert [key for step in steps for key in step.outputs] == made_by(stage)
        assert set(stage["meta"]["dagster_assets"]) == set(steps[-1].outputs)


def test_dependencies_are_the_graphs(catalogue: Catalogue, stages: dict[str, Any]) -> None:
    place = {key: f"{step.kind}/{key}" for step in catalogue.steps for key in step.outputs}
    for stage in stages.values():
        keys = made_by(stage)
        read = {upstream for key in keys for upstream in catalogue.by_key[key].inputs}
        beside = {name for key in keys for name in catalogue.by_key[key].files}
        read |= {upstream for key in keys for upstream in catalogue.by_key[key].if_there}
        deps = {place[key] for key in read - set(keys)} | beside
        assert stage.get("deps", []) == sorted(deps)


@pytest.mark.parametrize("profile", PROFILES)
def test_parameters_that_stages_name_exist(profile: str, stages: dict[str, Any]) -> None:
    params = yaml.safe_load(profile_text(profile))
    for name, stage in stages.items():
        for path in stage["params"]:
            value = params
            for part in path.split("."):
                assert part in value, f"{name}: {path}"
                value = value[part]


def test_a_stage_depends_on_the_sections_and_the_seed_of_its_steps(
    catalogue: Catalogue, stages: dict[str, Any]
) -> None:
    for stage in stages.values():
        steps = {catalogue.by_key[key] for key in made_by(stage)}
        expected = {step.section for step in steps}
        assert set(stage["params"]) - {"seed"} == expected
        assert ("seed" in stage["params"]) == any(step.seeded for step in steps)


def settings_of(stages: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What dvc.yaml says of every output, by its path."""
    found: dict[str, dict[str, Any]] = {}
    for stage in stages.values():
        for out in stage["outs"]:
            found |= out if isinstance(out, dict) else {out: {}}
    return found


def test_dvc_removes_no_output_before_a_stage(stages: dict[str, Any]) -> None:
    """What lies in its place may be somebody else's, and what was made outlives a failure."""
    assert all(settings["persist"] is True for settings in settings_of(stages).values())


def test_no_pictures_of_others_are_ever_in_the_cache(
    catalogue: Catalogue, stages: dict[str, Any]
) -> None:
    settings = settings_of(stages)
    for step in catalogue.steps:
        if step.key.endswith(("/images", "/photos")):
            # Without `persist` they would be in the run cache.
            assert settings[f"data/{step.key}"] == {"cache": False, "persist": True}
    for path, chosen in settings.items():
        # The checkout has no remote for what is large.
        assert (chosen.get("cache", True) is False) == path.startswith("data/")
        assert "remote" not in chosen


def test_a_result_that_shows_pictures_is_as_free_as_they_are(catalogue: Catalogue) -> None:
    def licence(key: str, **source: Any) -> str:
        params = yaml.safe_load(profile_text("sample"))
        params["lsun"]["images"] |= source
        workspace = Workspace(CHECKOUT)
        workspace.__dict__["params"] = validate_params(params, "params.yaml")
        return Catalogue(workspace, catalogue.steps).licence(catalogue.by_key[key])

    own = {"source": "folder", "path": "pictures", "pictures": None}
    assert licence("lsun/nearest_training_images") == "open"
    assert licence("lsun/nearest_training_images", **own) == "restricted"
    assert licence("lsun/samples", **own) == "open"
    assert licence("lsun/images") == licence("lsun/images", **own) == "restricted"


def test_tables_go_to_the_bulk_remote_of_a_workspace(small: SmallGraph) -> None:
    steps = tuple(replace(step, passes_on=step.key == "toy/mean") for step in small_graph.STEPS)
    catalogue = Catalogue(small.catalogue().workspace, steps)

    def settings() -> dict[str, dict[str, Any]]:
        return settings_of(yaml.safe_load(dvc_yaml(catalogue))["stages"])

    assert settings()["data/toy/mean"] == {"cache": False, "persist": True}
    (small.root / ".dvc").mkdir()
    config = "[core]\n    analytics = false\n['remote \"bulk\"']\n    url = s3://bucket/%place\n"
    (small.root / ".dvc" / "config").write_text(config, encoding="utf-8")
    assert settings()["data/toy/mean"] == {"persist": True, "remote": "bulk"}
    assert settings()["data/toy/constant"] == {"cache": False, "persist": True}
    assert settings()["results/toy/samples"] == {"persist": True}


def test_metrics_and_plots_lie_in_stages(catalogue: Catalogue, stages: dict[str, Any]) -> None:
    content = yaml.safe_load(dvc_yaml(catalogue))
    folders = {path for stage in stages.values() for path in paths_of(stage)}
    plots = {
        path: settings
        for plot in content["plots"]
        for path, settings in (plot if isinstance(plot, dict) else {plot: None}).items()
    }
    for path in (*content["metrics"], *plots):
        assert str(Path(path).parent) in folders
    table = "results/mnist/nearest_neighbour_scores"
    assert f"{table}/metrics.json" in content["metrics"]
    assert plots[f"{table}/result.json"]["y"] == "name"
    assert plots["models/lsun/generator/losses.csv"]["y"] == ["d_loss", "g_loss"]
    assert plots["results/mnist/sample_panels/figure.png"] is None


def test_dvc_itself_takes_the_file(catalogue: Catalogue) -> None:
    from dvc.schema import COMPILED_MULTI_STAGE_SCHEMA

    COMPILED_MULTI_STAGE_SCHEMA(yaml.safe_load(dvc_yaml(catalogue)))


# --- Any graph ------------------------------------------------------------------------------


def test_shards_outlive_the_failure_of_a_neighbour(small: SmallGraph) -> None:
    stages = yaml.safe_load(dvc_yaml(small.catalogue()))["stages"]
    assert stages["toy-images"]["outs"] == [{"data/toy/images": {"cache": False, "persist": True}}]
    assert stages["toy-boxes"]["deps"] == ["data/toy/images"]
    assert stages["toy-mean"]["outs"] == [{"data/toy/mean": {"cache": False, "persist": True}}]


def test_a_chain_of_transient_assets_is_one_stage(small: SmallGraph) -> None:
    steps = [
        replace(step, transient=True) if step.key == "toy/mean" else step
        for step in small_graph.STEPS
        if step.key in {"toy/images", "toy/mean", "toy/candidate", "toy/generator"}
    ]
    stages = yaml.safe_load(dvc_yaml(Catalogue(small.catalogue().workspace, tuple(steps))))[
        "stages"
    ]
    assert set(stages) == {"toy-images", "toy-generator"}
    stage = stages["toy-generator"]
    assert made_by(stage) == ["toy/mean", "toy/candidate", "toy/generator", "toy/discriminator"]
    assert stage["deps"] == ["data/toy/images"]
    assert stage["params"] == ["candidate", "mean", "publish", "seed"]


def test_a_transient_asset_that_two_others_read_is_made_once(small: SmallGraph) -> None:
    """The candidate is read by what measures it and by what publishes it."""
    small.only("images", "mean", "extractor", "candidate", "quality", "generator")
    stages = yaml.safe_load(dvc_yaml(small.catalogue()))["stages"]
    assert set(stages) == {"toy-images", "toy-mean", "toy-extractor", "toy-generator"}
    stage = stages["toy-generator"]
    assert made_by(stage) == [
        "toy/candidate",
        "toy/quality",
        "toy/generator",
        "toy/discriminator",
    ]
    assert stage["deps"] == ["data/toy/mean", "models/toy/extractor"]
    assert stage["params"] == ["candidate", "publish", "summary", "seed"]


def test_an_optional_asset_is_left_to_those_who_ask(small: SmallGraph) -> None:
    steps = tuple(replace(step, optional=step.key == "toy/constant") for step in small_graph.STEPS)
    content = yaml.safe_load(dvc_yaml(Catalogue(small.catalogue().workspace, steps)))
    assert "toy-constant" not in content["stages"]
    assert "toy-patient" in content["stages"]


def test_it_is_written_once(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    assert not is_current(catalogue)
    assert write_dvc_yaml(catalogue)
    assert is_current(catalogue)
    assert not write_dvc_yaml(catalogue)
    (small.root / DVC_FILE).write_text("stages: {}\n", encoding="utf-8")
    assert not is_current(catalogue)
    assert write_dvc_yaml(catalogue)


def test_a_file_that_cannot_be_written_is_one_line(small: SmallGraph) -> None:
    workspace = small_graph.SmallWorkspace(small.root / "gone")
    object.__setattr__(workspace, "params", small.catalogue().workspace.params)
    with pytest.raises(UserError, match=r"dvc\.yaml: cannot be written \(No such file") as caught:
        write_dvc_yaml(Catalogue(workspace, small_graph.STEPS))
    assert "\n" not in str(caught.value)
