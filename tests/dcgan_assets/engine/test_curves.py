"""Curves of a real training, read back by the tools' own readers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dcgan_assets.engine.curves import curves
from dcgan_models.errors import UserError
from dcgan_models.presets import preset
from dcgan_models.training import Tick, TrainConfig, train

NUMBERS = {"d_loss", "g_loss", "fixed_z_spread", "oscillating_filters", "images_per_second"}


pytestmark = pytest.mark.usefixtures("few_statistics")


@pytest.fixture
def trained(tmp_path: Path, write_pictures: Any) -> Callable[[str], list[Tick]]:
    """Train two epochs of four minibatches under a tool; the ticks that it was told."""

    def run(kind: str) -> list[Tick]:
        pixels = np.random.default_rng(0).integers(0, 256, (32, 28, 28, 1)).astype(np.uint8)
        data = write_pictures(tmp_path / "data", pixels, shards=1)
        small = preset("mnist28").with_overrides(width=0.05, batch=8, epochs=2, decay_epochs=0)
        config = TrainConfig(
            preset=small, data=str(data), seed=1, device="cpu", tick_steps=2, snapshots=(1,)
        )
        ticks: list[Tick] = []
        with curves(kind, tmp_path, "mnist/candidate", tmp_path / "run") as tell:  # type: ignore[arg-type]

            def told(tick: Tick) -> None:
                ticks.append(tick)
                tell(tick)

            assert train(config, tmp_path / "run", told)
        return ticks

    return run


def test_none_writes_nothing(trained: Callable[[str], list[Tick]], tmp_path: Path) -> None:
    assert trained("none")
    assert not (tmp_path / "runs").exists()


def test_tensorboard(trained: Callable[[str], list[Tick]], tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    ticks = trained("tensorboard")
    events = reader.EventAccumulator(str(tmp_path / "runs/tensorboard/mnist/candidate/run"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == NUMBERS
    spread = [(event.step, event.value) for event in events.Scalars("fixed_z_spread")]
    assert spread == [(tick.step, pytest.approx(tick.fixed_z_spread)) for tick in ticks]
    (image,) = events.Images("fixed_z")
    assert (image.width, image.height) == (280, 280)


def test_mlflow(trained: Callable[[str], list[Tick]], tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    ticks = trained("mlflow")
    client = MlflowClient((tmp_path / "runs/mlflow").as_uri())
    experiment = client.get_experiment_by_name("mnist/candidate")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert set(run.data.metrics) == NUMBERS
    history = client.get_metric_history(run.info.run_id, "g_loss")
    assert [(point.step, point.value) for point in history] == [
        (tick.step, pytest.approx(tick.g_loss)) for tick in ticks
    ]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "grids")] == [
        "grids/epoch_0001.png"
    ]


def test_dvclive(trained: Callable[[str], list[Tick]], tmp_path: Path) -> None:
    pytest.importorskip("dvclive")
    ticks = trained("dvclive")
    place = tmp_path / "runs/dvclive/mnist/candidate/run/plots"
    lines = (place / "metrics/d_loss.tsv").read_text(encoding="utf-8").splitlines()
    assert [int(line.split("\t")[0]) for line in lines[1:]] == [tick.step for tick in ticks]
    assert (place / "images/epoch_0001.png").is_file()


def test_a_tool_that_is_not_installed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with (
        pytest.raises(UserError, match=r"machine\.log: mlflow .*dcgan-assets\[mlflow\]"),
        curves("mlflow", tmp_path, "a/b", tmp_path),
    ):
        pass
