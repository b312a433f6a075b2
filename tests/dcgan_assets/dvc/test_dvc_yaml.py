"""dvc.yaml says what the asset graph says, and DVC takes it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import small_graph
import yaml
from checkout import CHECKOUT
from small_graph import SmallGraph

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.dvc.dvc_yaml import (
    DVC_FILE,
    LOCK_FILE,
    add_stages,
    dvc_content,
    is_current,
    made_stages,
    stage_name,
    stage_names,
    unhashable,
    unwatched,
    write_dvc_yaml,
)
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.planning import choose_steps
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import PROFILES, profile_text, validate_params
from dcgan_models.errors import UserError

_DEDUP = ("dedup_autoencoder", "manifest", "dedup_report", "nearest_training_images")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """All steps, with the checkout's params.yaml. Nothing is written there."""
    return open_catalogue(Workspace(CHECKOUT))


@pytest.fixture(scope="module")
def stages(catalogue: Catalogue) -> dict[str, Any]:
    found: dict[str, Any] = everything(catalogue)["stages"]
    return found


def everything(catalogue: Catalogue) -> dict[str, Any]:
    """What dvc.yaml says with all stages that there can be."""
    return dvc_content(catalogue, stage_names(catalogue))


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
        beside = {name for key in keys for name in catalogue.files(catalogue.by_key[key])}
        read |= {upstream for key in keys for upstream in catalogue.by_key[key].if_there}
        deps = {place[key] for key in read - set(keys)} | beside
        assert stage.get("deps", []) == sorted(deps)


@pytest.mark.parametrize("profile", PROFILES)
def test_parameters_that_stages_name_exist(profile: str, tmp_path: Path) -> None:
    params = yaml.safe_load(profile_text(profile))
    for name, stage in everything(catalogue_of(tmp_path, profile))["stages"].items():
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
        # The checkout has no remote for what is large; a page is made of a generator in seconds.
        nowhere = path.startswith("data/") or path.endswith("/explorer")
        assert (chosen.get("cache", True) is False) == nowhere
        assert "remote" not in chosen


def catalogue_of(root: Path, profile: str = "sample", **groups: Any) -> Catalogue:
    """All steps of a workspace with a profile's params.yaml, sections changed."""
    params = yaml.safe_load(profile_text(profile))
    for name, change in groups.items():
        params[name] = {**params.get(name, {}), **change}
    workspace = Workspace(root)
    workspace.__dict__["params"] = validate_params(params, "params.yaml")
    return open_catalogue(workspace)


def deps(catalogue: Catalogue, name: str) -> list[str]:
    """What the stage of this name depends on."""
    found: list[str] = everything(catalogue)["stages"][name].get("deps", [])
    return found


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
        return settings_of(everything(catalogue)["stages"])

    assert settings()["data/toy/mean"] == {"cache": False, "persist": True}
    (small.root / ".dvc").mkdir()
    config = "[core]\n    analytics = false\n['remote \"bulk\"']\n    url = s3://bucket/%place\n"
    (small.root / ".dvc" / "config").write_text(config, encoding="utf-8")
    assert settings()["data/toy/mean"] == {"persist": True, "remote": "bulk"}
    assert settings()["data/toy/constant"] == {"cache": False, "persist": True}
    assert settings()["results/toy/samples"] == {"persist": True}


def test_metrics_and_plots_lie_in_stages(catalogue: Catalogue, stages: dict[str, Any]) -> None:
    content = everything(catalogue)
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

    COMPILED_MULTI_STAGE_SCHEMA(everything(catalogue))


# --- What lies outside of the graph -----------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("mnist-images", "data/downloads/mnist"),
        ("lsun-images", "data/downloads/lsun"),
        ("imagenet-images", "data/downloads/imagenet"),
        ("albums-images", "data/downloads/albums"),
        ("svhn-features", "data/downloads/svhn"),
    ],
)
def test_a_source_that_params_yaml_names_is_watched_there_or_not(
    tmp_path: Path, stage: str, path: str
) -> None:
    """A clone has the pictures of nobody, and dvc.yaml says the same there."""
    images = {"source": "folder", "path": path}
    params = yaml.safe_load(profile_text("paper"))
    sections: dict[str, Any] = {
        name: {"images": {**params[name]["images"], "category": None, **images}}
        for name in ("lsun", "imagenet", "albums")
    }
    del sections["lsun"]["images"]["category"]
    sections["mnist"] = {"images": {**params["mnist"]["images"], **images}}
    sections["svhn"] = {
        "features": {**params["svhn"]["features"], "discriminator": f"released:{path}"}
    }
    catalogue = catalogue_of(tmp_path, "paper", **sections)
    assert path in deps(catalogue, stage)
    (tmp_path / path).mkdir(parents=True)
    assert path in deps(catalogue, stage)


def test_what_is_packaged_or_downloaded_has_nothing_to_watch(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    assert deps(catalogue, "mnist-images") == deps(catalogue, "lsun-images") == []
    small = catalogue_of(tmp_path, "small")
    assert deps(small, "mnist-images") == deps(small, "cifar10-images") == []


@pytest.mark.parametrize("profile", PROFILES)
def test_every_path_that_a_section_names_is_watched(tmp_path: Path, profile: str) -> None:
    """Whatever group comes next: `path` is read from outside of the graph."""
    catalogue = catalogue_of(tmp_path, profile)
    for step in catalogue.steps:
        path = getattr(catalogue.section(step), "path", None)
        if path is not None and not step.inputs:
            assert path in catalogue.files(step), step.key


def test_people_of_ones_own_are_watched(tmp_path: Path) -> None:
    faces = yaml.safe_load(profile_text("sample"))["faces"]
    faces["people"] = {"source": "list", "path": "names.csv", "count": 10}
    faces["image_urls"] |= {"searches": ["folder"], "folder": {"path": "people"}}
    catalogue = catalogue_of(tmp_path, faces=faces)
    removals = faces["removals"]
    assert deps(catalogue, "faces-people") == sorted([removals, "names.csv"])
    assert deps(catalogue, "faces-image_urls") == sorted([removals, "data/faces/people", "people"])
    assert deps(catalogue, "faces-photos") == sorted([removals, "data/faces/image_urls", "people"])


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("lsun-window_dropout", "annotations/lsun/boxes.coco.json"),
        ("faces-vector_arithmetic", "annotations/faces/concepts.json"),
        ("faces-turn_vector", "annotations/faces/concepts.json"),
        ("lsun-dedup_report", "annotations/lsun/duplicates.csv"),
    ],
)
def test_what_may_be_absent_is_watched_where_it_is_there(
    tmp_path: Path, stage: str, name: str
) -> None:
    catalogue = catalogue_of(tmp_path)
    assert name not in deps(catalogue, stage)
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert name in deps(catalogue, stage)


@pytest.mark.parametrize(
    ("path", "dep"),
    [
        ("pictures/", "pictures"),
        ("./pictures", "pictures"),
        ("../pictures", "../pictures"),
        ("/mnt/my pictures", "/mnt/my pictures"),
        ("${HOME}/pictures", r"\${HOME}/pictures"),
    ],
)
def test_a_path_is_written_as_dvc_reads_it(tmp_path: Path, path: str, dep: str) -> None:
    images = {"source": "folder", "path": path, "size": 64, "shards": 1}
    catalogue = catalogue_of(tmp_path, lsun={"images": images})
    assert deps(catalogue, "lsun-images") == [dep]


# What DVC ends with an error at, or never: made below a folder.
UNHASHABLE = {
    "a link to nothing": lambda folder: (folder / "x").symlink_to("nowhere"),
    "a link to itself": lambda folder: (folder / "x").symlink_to("x"),
    "a pipe": lambda folder: os.mkfifo(folder / "x"),
    "a name in Latin-1": lambda folder: (folder / os.fsdecode(b"caf\xe9.jpg")).touch(),
    "a folder so named": lambda folder: (folder / os.fsdecode(b"caf\xe9")).mkdir(),
}
HASHABLE = {
    "nothing": lambda folder: None,
    "a file and a folder": lambda folder: ((folder / "x").touch(), (folder / "y").mkdir()),
    "a link to a file": lambda folder: (folder / "x").symlink_to(__file__),
    "a link to a folder": lambda folder: (folder / "x").symlink_to("."),
    "an accent": lambda folder: (folder / "café.jpg").touch(),
    "two lines": lambda folder: (folder / "a\nb").touch(),
}


@pytest.mark.parametrize("what", [*UNHASHABLE, *HASHABLE])
def test_what_dvc_cannot_hash_is_not_watched_and_said(tmp_path: Path, what: str) -> None:
    (tmp_path / "pictures" / "deep").mkdir(parents=True)
    (UNHASHABLE | HASHABLE)[what](tmp_path / "pictures" / "deep")
    images = {"source": "folder", "path": "pictures", "size": 64, "shards": 1}
    catalogue = catalogue_of(tmp_path, lsun={"images": images})
    if what in HASHABLE:
        assert (deps(catalogue, "lsun-images"), unwatched(catalogue)) == (["pictures"], [])
    else:
        assert deps(catalogue, "lsun-images") == []
        (line,) = unwatched(catalogue)
        assert line.startswith("pictures: DVC cannot hash '")
        assert line.isascii()
        assert "\n" not in line


def test_what_dvc_is_told_to_ignore_is_said(tmp_path: Path) -> None:
    """It would hash an empty folder, whatever is there."""
    (tmp_path / "data/downloads/lsun").mkdir(parents=True)
    images = {"source": "folder", "path": "data/downloads/lsun", "size": 64, "shards": 1}
    catalogue = catalogue_of(tmp_path, lsun={"images": images})
    (tmp_path / ".dvcignore").write_text("/data/downloads\n", encoding="utf-8")
    assert unwatched(catalogue) == []  # without DVC nobody looks
    (tmp_path / ".dvc").mkdir()
    (line,) = unwatched(catalogue)
    assert line == (
        "data/downloads/lsun: named in .dvcignore; only `dcgan materialize` looks there"
    )
    template = (resources.files("dcgan_assets.cli") / "templates" / "dvcignore").read_text("utf-8")
    (tmp_path / ".dvcignore").write_text(template, encoding="utf-8")
    assert unwatched(catalogue) == []


def test_a_single_file_is_looked_at_as_well(tmp_path: Path) -> None:
    archive = tmp_path / "pictures.zip"
    assert unhashable(archive) is None
    archive.touch()
    assert unhashable(archive) is None
    archive.unlink()
    os.mkfifo(archive)
    assert unhashable(archive) == repr(str(archive))


# --- What was made --------------------------------------------------------------------------


def booked(root: Path, *names: str) -> None:
    """A dvc.lock that says that these stages were made."""
    content = {"schema": "2.0", "stages": {name: {"cmd": "x"} for name in names}}
    (root / LOCK_FILE).write_text(yaml.safe_dump(content), encoding="utf-8")


def written(root: Path) -> dict[str, Any]:
    """What dvc.yaml says."""
    found: dict[str, Any] = yaml.safe_load((root / DVC_FILE).read_text(encoding="utf-8"))
    return found


def test_it_is_behind_where_something_made_has_no_stage(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    assert made_stages(small.root) == set()
    write_dvc_yaml(catalogue, ())
    assert is_current(catalogue)
    booked(small.root, "toy-images", "gone-images")
    assert made_stages(small.root) == {"toy-images", "gone-images"}
    assert not is_current(catalogue)
    write_dvc_yaml(catalogue, made_stages(small.root))
    assert is_current(catalogue)
    assert list(written(small.root)["stages"]) == ["toy-images"]


def test_a_stage_more_leaves_those_that_stand(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    write_dvc_yaml(catalogue, {"toy-samples"})
    booked(small.root, "toy-mean")
    assert add_stages(catalogue, ["toy-images"])
    assert list(written(small.root)["stages"]) == ["toy-images", "toy-mean", "toy-samples"]
    assert is_current(catalogue)
    assert not add_stages(catalogue, ["toy-images"])


def test_a_process_with_an_older_graph_drops_nothing(tmp_path: Path) -> None:
    """A training takes hours, and a group is added meanwhile."""
    images = {"source": "folder", "path": "pictures", "size": 64, "shards": 1}
    cats = {**yaml.safe_load(profile_text("sample"))["lsun"], "images": images}
    own = {k: v for k, v in cats.items() if k not in {*_DEDUP, "window_dropout", "guided_backprop"}}
    newer, older = catalogue_of(tmp_path, groups={"cats": own}), catalogue_of(tmp_path)
    names = stage_names(newer)
    write_dvc_yaml(newer, names - {"mnist-images"})
    before = written(tmp_path)
    assert add_stages(older, ["mnist-images"])
    after = written(tmp_path)
    assert set(after["stages"]) == names
    assert {name: after["stages"][name] for name in before["stages"] if "cats" in name} == {
        name: stage for name, stage in before["stages"].items() if "cats" in name
    }
    assert "results/cats/samples/figure.png" in after["plots"]
    assert not is_current(older)
    assert add_stages(newer, ())  # the report reads of cats again
    assert is_current(newer)
    write_dvc_yaml(older, names)  # a group that is gone
    assert not [name for name in written(tmp_path)["stages"] if "cats" in name]
    assert not [plot for plot in written(tmp_path)["plots"] if "cats" in str(plot)]


def test_the_report_depends_on_what_dvc_knows(catalogue: Catalogue) -> None:
    few = dvc_content(catalogue, {"report-paper", "mnist-sample_panels"})["stages"]
    assert few["report-paper"]["deps"] == ["results/mnist/sample_panels"]
    for step in catalogue.steps:
        if step.has_stage and not step.if_there:
            alone = dvc_content(catalogue, {stage_name(step)})["stages"][stage_name(step)]
            assert alone == everything(catalogue)["stages"][stage_name(step)]


# --- Any graph ------------------------------------------------------------------------------


def test_shards_outlive_the_failure_of_a_neighbour(small: SmallGraph) -> None:
    stages = everything(small.catalogue())["stages"]
    assert stages["toy-images"]["outs"] == [{"data/toy/images": {"cache": False, "persist": True}}]
    assert stages["toy-images"]["deps"] == ["source"]
    assert stages["toy-boxes"]["deps"] == ["data/toy/images"]
    assert stages["toy-mean"]["outs"] == [{"data/toy/mean": {"cache": False, "persist": True}}]


def test_a_chain_of_transient_assets_is_one_stage(small: SmallGraph) -> None:
    steps = [
        replace(step, transient=True) if step.key == "toy/mean" else step
        for step in small_graph.STEPS
        if step.key in {"toy/images", "toy/mean", "toy/candidate", "toy/generator"}
    ]
    stages = everything(Catalogue(small.catalogue().workspace, tuple(steps)))["stages"]
    assert set(stages) == {"toy-images", "toy-generator"}
    stage = stages["toy-generator"]
    assert made_by(stage) == ["toy/mean", "toy/candidate", "toy/generator", "toy/discriminator"]
    assert stage["deps"] == ["data/toy/images"]
    assert stage["params"] == ["candidate", "mean", "publish", "seed"]


def test_a_transient_asset_that_two_others_read_is_made_once(small: SmallGraph) -> None:
    """The candidate is read by what measures it and by what publishes it."""
    small.only("images", "mean", "extractor", "candidate", "quality", "generator")
    stages = everything(small.catalogue())["stages"]
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
    content = everything(Catalogue(small.catalogue().workspace, steps))
    assert "toy-constant" not in content["stages"]
    assert "toy-patient" in content["stages"]


def test_it_is_written_once(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    names = stage_names(catalogue)
    assert not is_current(catalogue)
    assert write_dvc_yaml(catalogue, names)
    assert is_current(catalogue)
    assert not write_dvc_yaml(catalogue, names)


def test_what_a_user_wrote_into_it_stays(small: SmallGraph) -> None:
    catalogue = small.catalogue()
    mine = {"cmd": "make it", "outs": ["mine"], "deps": ["pics"]}
    path = small.root / DVC_FILE
    content = {"vars": ["my.yaml"], "stages": {"my-stage": mine}, "plots": ["mine/curve.csv"]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert write_dvc_yaml(catalogue, stage_names(catalogue))
    for names in ((), stage_names(catalogue)):
        write_dvc_yaml(catalogue, names)
        written = yaml.safe_load(path.read_text("utf-8"))
        assert written["vars"] == ["my.yaml"]
        assert written["stages"]["my-stage"] == mine
        assert written["plots"].count("mine/curve.csv") == 1
    assert len(written["stages"]) == 1 + len(stage_names(catalogue))


def test_what_is_not_readable_is_not_replaced(small: SmallGraph) -> None:
    path = small.root / DVC_FILE
    path.write_text("stages: [\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"dvc\.yaml: not readable; mend it"):
        write_dvc_yaml(small.catalogue(), ())
    assert path.read_text("utf-8") == "stages: [\n"


def test_a_file_that_cannot_be_written_is_one_line(small: SmallGraph) -> None:
    workspace = small_graph.SmallWorkspace(small.root / "gone")
    object.__setattr__(workspace, "params", small.catalogue().workspace.params)
    with pytest.raises(UserError, match=r"dvc\.yaml: cannot be written \(No such file") as caught:
        write_dvc_yaml(Catalogue(workspace, small_graph.STEPS), ())
    assert "\n" not in str(caught.value)
