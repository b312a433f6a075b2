"""Where a candidate's training begins, as the terminal tells it, and the folders below runs/."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from ruamel.yaml import YAML
from small_graph import SmallGraph

from dcgan_assets.cli import main
from dcgan_assets.definitions import build_definitions
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.cleaning import work_files
from dcgan_assets.engine.live_training import Session
from dcgan_assets.engine.making import FOLLOWED, TRAINED, Work
from dcgan_assets.engine.run_folders import open_run, training_folders, where_it_begins
from dcgan_assets.engine.step import Outcome, Step
from dcgan_assets.params.file import profile_text
from dcgan_assets.sources.reading.items import forget_listings
from dcgan_models.files import tree_files
from dcgan_models.presets import preset
from dcgan_models.training import TrainConfig, train

pytestmark = pytest.mark.usefixtures("few_statistics")

_FORCED = {"ops": {"toy__constant": {"config": {"force": True}}}}


@pytest.fixture
def config(tmp_path: Path, write_pictures: Any) -> TrainConfig:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 28, 28, 1), dtype=np.uint8)
    data = write_pictures(tmp_path / "digits", pixels)
    chosen = preset("mnist28").with_overrides(width=0.02, batch=8, epochs=1, decay_epochs=0)
    return TrainConfig(chosen, str(data), seed=5, data_version="one", device="cpu")


def line_of(graph: SmallGraph, config: TrainConfig) -> str:
    """Train within a step, and give the line that says where it began."""
    return trained(graph, config)[0]


def trained(graph: SmallGraph, config: TrainConfig) -> tuple[str, list[tuple[str, str]]]:
    """That line, and the events that name the page of the training: what each says, and where."""
    said = []

    def compute(work: Work) -> Outcome:
        run_dir, beginning = open_run(work, config)
        said.append(where_it_begins(work, config, beginning))
        assert train(config, run_dir)
        return Outcome()

    catalogue = Catalogue(
        graph.catalogue().workspace,
        (Step(("toy/constant",), "data", compute, "Figure 0", "constant"),),
    )
    job = build_definitions(catalogue).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(run_config=_FORCED, instance=instance)
        assert done.success
        events = [log.dagster_event for log in instance.all_logs(done.run_id)]
    told = []
    for event in filter(None, events):
        if event.is_engine_event:
            told.append((event.message, event.engine_event_data.metadata.get(FOLLOWED)))
        elif event.is_step_materialization:
            told.append(("made", event.materialization.metadata.get(TRAINED)))
    return said[0], [(str(words), str(page.value)) for words, page in told if page]


def test_a_run_and_what_it_makes_lead_to_the_page_that_follows_it(
    small: SmallGraph, config: TrainConfig
) -> None:
    _, begun = trained(small, config)
    (folder,) = (small.root / "runs" / "toy").iterdir()
    page = f"/training/toy/constant/{folder.name}/"
    assert begun == [("toy/constant: begins: 2 steps", page), ("made", page)]
    # A longer one goes on from it, in a folder of its own.
    longer = replace(config, preset=replace(config.preset, epochs=3))
    _, resumed = trained(small, longer)
    assert resumed[0][0] == "toy/constant: continues at step 2 of 6"
    found = Session.read(small.root / "runs" / "toy" / resumed[0][1].split("/")[-2])
    assert found is not None
    assert (found.asset, found.began, found.steps, found.batch) == ("toy/constant", 2, 6, 8)
    assert Session.read(folder) != found
    # `dcgan clean` knows what is in such a folder.
    assert set(work_files(folder)) == set(tree_files(folder))


def test_each_beginning_is_a_line(small: SmallGraph, config: TrainConfig) -> None:
    def longer(epochs: int, **changes: Any) -> TrainConfig:
        return replace(config, preset=replace(config.preset, epochs=epochs), **changes)

    def folder(run: TrainConfig) -> str:
        (found,) = (one for one in training_folders(runs) if one.config == run)
        assert found.same_code
        return found.run_dir.relative_to(small.root).as_posix()

    runs = small.root / "runs" / "toy"
    assert line_of(small, config) == "toy/constant: begins; no earlier run of mnist28 is there"
    first = folder(config)
    assert line_of(small, longer(2)) == f"toy/constant: goes on from epoch 1 of {first}"
    assert line_of(small, longer(2)) == f"toy/constant: all of it is trained in {folder(longer(2))}"
    other = longer(1, seed=6)
    words = "has another seed: 5, now 6"
    assert line_of(small, other).endswith(words)
    assert line_of(small, other) == f"toy/constant: all of it is trained in {folder(other)}"
    assert "has other pictures" in line_of(small, longer(1, data_version="two"))

    for run in list(training_folders(runs)):  # as if other code had trained them
        run.run_dir.rename(run.run_dir.with_name(f"{run.run_dir.name[:-1]}x"))
    assert not any(run.same_code for run in training_folders(runs))
    line = line_of(small, longer(3))
    assert line.startswith("toy/constant: begins anew: runs/toy/")
    assert line.endswith("x was trained by other code")


def test_other_folders_are_passed_over(tmp_path: Path, config: TrainConfig) -> None:
    config.write(tmp_path / "aaaaaaaaaaaa")
    (tmp_path / "answers").mkdir()
    for name, text in (("b", "{}"), ("c", "no JSON"), ("d", '{"preset": "mnist28"}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text, encoding="utf-8")
    (found,) = training_folders(tmp_path)
    assert (found.run_dir, found.config) == (tmp_path / "aaaaaaaaaaaa", config)
    assert not found.same_code
    assert not list(training_folders(tmp_path / "nowhere"))


@pytest.mark.slow
def test_more_epochs_go_on_in_the_commands(
    fast_disk: Path, dagster_home: Path, tmp_path: Path
) -> None:
    """A group of one's own, trained for 2 epochs, for 4, wider, and on another picture more."""

    def dcgan(*words: str) -> str:
        forget_listings()
        done = CliRunner().invoke(main, ["--root", str(root), *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    def beginning(**changes: Any) -> str:
        yaml = YAML()
        content = yaml.load(root / "params.yaml")
        content["groups"]["cats"]["candidate"].update(changes)
        content["groups"]["cats"]["samples"]["epochs"] = []
        yaml.dump(content, root / "params.yaml")
        lines = dcgan("materialize", "cats/candidate").splitlines()
        start = "cats/candidate: "
        said = [line.removeprefix(start) for line in lines if line.startswith(start)]
        return next(line for line in said if line.startswith(("begins", "goes on")))

    root = fast_disk / "workspace"
    root.mkdir()
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    shutil.copytree(dagster_home, root / ".dagster_home")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number:03d}.png")
    dcgan("new-group", "cats", "--from", str(pictures))
    assert beginning(epochs=2, width=0.0625, snapshots=[]).startswith("begins; ")
    (first,) = (root / "runs/cats").iterdir()
    assert beginning(epochs=4) == f"goes on from epoch 2 of runs/cats/{first.name}"
    words = "has another width: 0.0625, now 0.125"
    assert beginning(epochs=4, width=0.125).endswith(words)
    dcgan("materialize", "cats/candidate", "--seed", "9")
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(pictures / "new.png")
    assert beginning().endswith("has other pictures")
