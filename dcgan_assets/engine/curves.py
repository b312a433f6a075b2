"""A training's curves in a tool of the user's: TensorBoard, MLflow or DVCLive (`machine.log`).

Each is told of every tick, and shown the grids of snapshots. All write into the workspace; MLflow
elsewhere only where MLFLOW_TRACKING_URI names a place. None of it is part of a version.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dcgan_assets.params.file import Log
from dcgan_models.extras import from_extra

if TYPE_CHECKING:
    from dcgan_models.training import Tick

_NUMBERS = ("d_loss", "g_loss", "fixed_z_spread", "oscillating_filters", "images_per_second")


class _Writer(Protocol):
    """A tool that is open: numbers of a tick, and the PNG of a snapshot, at a step."""

    def numbers(self, values: dict[str, float], step: int) -> None: ...

    def grid(self, path: Path, step: int) -> None: ...


@contextmanager
def curves(kind: Log, root: Path, name: str, run_dir: Path) -> Iterator[Callable[[Tick], None]]:
    """Open the tool that params.yaml names; what is given is told of every tick.

    Args:
        root: The workspace.
        name: Of the run, where the tool has names.
        run_dir: The training's folder: grids of its snapshots are read there.

    Raises:
        UserError: The tool is not installed; the line names the extra.
    """
    if kind == "none":
        yield lambda tick: None
        return
    module = {"tensorboard": "torch.utils.tensorboard"}.get(kind, kind)
    package = from_extra(module, f"machine.log: {kind}", kind)
    with ExitStack() as end:
        opened: list[_Writer] = []
        seen = set(_grids(run_dir))

        def tell(tick: Tick) -> None:
            if not opened:  # at the step where the run begins, or goes on
                opened.append(_OPEN[kind](package, root, name, run_dir, tick.step, end))
            told = asdict(tick)
            values = {key: told[key] for key in _NUMBERS if told[key] is not None}
            opened[0].numbers(values, tick.step)
            for path in set(_grids(run_dir)) - seen:
                seen.add(path)
                opened[0].grid(path, tick.step)

        yield tell


def _grids(run_dir: Path) -> Iterator[Path]:
    return (run_dir / "grids").glob("epoch_*.png")


class _TensorBoard:
    """Below `runs/tensorboard`: `tensorboard --logdir runs/tensorboard`."""

    def __init__(
        self, package: Any, root: Path, name: str, run_dir: Path, step: int, end: ExitStack
    ) -> None:
        place = root / "runs" / "tensorboard" / name / run_dir.name
        # What a killed run told after its last save comes again.
        self.writer = package.SummaryWriter(str(place), purge_step=step)
        end.callback(self.writer.close)

    def numbers(self, values: dict[str, float], step: int) -> None:
        for key, value in values.items():
            self.writer.add_scalar(key, value, step)

    def grid(self, path: Path, step: int) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(path) as image:
            self.writer.add_image("fixed_z", np.asarray(image.convert("RGB")), step, None, "HWC")


class _MLflow:
    """Below `runs/mlflow`, or where MLFLOW_TRACKING_URI says; each session is a run of its own."""

    def __init__(
        self, package: Any, root: Path, name: str, run_dir: Path, step: int, end: ExitStack
    ) -> None:
        from mlflow.tracking import MlflowClient

        # Plain files need no server and no database; MLflow 3 wants to be told that they may be.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        place = os.environ.get("MLFLOW_TRACKING_URI") or (root / "runs" / "mlflow").as_uri()
        self.client = MlflowClient(place)
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name)
        run = self.client.create_run(experiment, tags={"mlflow.runName": run_dir.name})
        self.run_id = run.info.run_id
        end.callback(self.client.set_terminated, self.run_id)

    def numbers(self, values: dict[str, float], step: int) -> None:
        for key, value in values.items():
            self.client.log_metric(self.run_id, key, value, step=step)

    def grid(self, path: Path, step: int) -> None:
        self.client.log_artifact(self.run_id, str(path), "grids")


class _DVCLive:
    """Below `runs/dvclive`: plain TSV and PNG files; no experiment is made of them."""

    def __init__(
        self, package: Any, root: Path, name: str, run_dir: Path, step: int, end: ExitStack
    ) -> None:
        place = root / "runs" / "dvclive" / name / run_dir.name
        self.live = package.Live(str(place), save_dvc_exp=False, dvcyaml=None, resume=True)
        end.callback(self.live.end)

    def numbers(self, values: dict[str, float], step: int) -> None:
        self.live.step = step
        for key, value in values.items():
            self.live.log_metric(key, value)
        self.live.make_summary()

    def grid(self, path: Path, step: int) -> None:
        self.live.log_image(path.name, str(path))


_OPEN: dict[str, Callable[..., _Writer]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "dvclive": _DVCLive,
}
