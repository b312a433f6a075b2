"""All that a GPU must show, in ten minutes: `make gpu-check`, or `python -m benchmarks.gpu_check`.

Each check is a process of its own, so that one that crashes takes no figure of another along, and
those that crash the easiest come last. A line is printed and written (`--lines`, by default
gpu-check.jsonl) as soon as it is known. The exit code is 1 where a check failed.

It needs torch 2.11 or later, Python 3.11 or later, and of this project `dcgan_models` alone, with
what that imports: numpy, pyarrow, safetensors, filelock, psutil, tqdm, scikit-learn; pytest for
the tests marked `cuda`. `--simulate` runs all of it on the processor, in small: that it runs.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dcgan_models.data import PixelStore, write_dataset
from dcgan_models.machine import (
    Compile,
    choose_compile,
    choose_device,
    choose_precision,
    memory_named,
    missing_for_compiling,
)
from dcgan_models.networks import (
    Discriminator,
    Generator,
    draw_latents,
    from_pixels,
    initialise,
    untrained_discriminator,
    untrained_generator,
)
from dcgan_models.presets import PRESETS, Preset, preset
from dcgan_models.training.config import Loading, TrainConfig
from dcgan_models.training.loop import read_log, train
from dcgan_models.training.pictures import Order, Pictures, open_pictures
from dcgan_models.training.team import Team
from dcgan_models.training.updates import Updates

Lines = Iterator[dict[str, Any]]
_PATIENCE_S = 150
_STOPPED_AT = 7


@dataclass(frozen=True)
class Scale:
    """How large everything is: on a GPU as in the paper, in a simulation as small as it runs."""

    width: float
    batch: int
    steps: int
    references: tuple[int, ...]
    queries: int
    pictures: int
    rows: int
    features: int
    side: int


GPU = Scale(1.0, 128, 200, (50_000, 10_000_000), 10_000, 20_000, 10_000, 28_672, 8192)
SIMULATED = Scale(0.03, 8, 2, (300, 600), 50, 64, 60, 96, 64)


@dataclass(frozen=True)
class Setting:
    """Where a check computes, and how much."""

    device: torch.device
    scale: Scale
    folder: Path

    @property
    def simulated(self) -> bool:
        """Whether this is the processor in the GPU's place."""
        return self.device.type == "cpu"

    def preset(self, name: str) -> Preset:
        """A preset at this scale."""
        width = 0.01 if self.simulated and name in ("albums128", "imagenet32") else self.scale.width
        return preset(name).with_overrides(width=width, batch=self.scale.batch)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, function: Callable[[], Any]) -> float:
        """Of one call, to the device's own end."""
        self.wait()
        start = time.perf_counter()
        function()
        self.wait()
        return time.perf_counter() - start


# --- Right ------------------------------------------------------------------------------------


def machine(setting: Setting) -> Lines:
    """What it is measured on."""
    cuda = setting.device.type == "cuda"
    yield {
        "device": torch.cuda.get_device_name() if cuda else "the processor",
        "GiB": round(torch.cuda.get_device_properties(0).total_memory / 2**30) if cuda else None,
        "precision": str(choose_precision("auto", setting.device)).removeprefix("torch."),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "missing for compiling": missing_for_compiling() or "nothing",
    }


def marked_tests(setting: Setting) -> Lines:
    """The tests marked `cuda`, which run nowhere else."""
    if importlib.util.find_spec("pytest") is None:
        yield {"tests": "not run: here is no pytest"}
        return
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "cuda"]
    done = subprocess.run(
        [*words, "tests/dcgan_models"], capture_output=True, text=True, check=False
    )
    found = (done.stdout.strip() or done.stderr).splitlines()
    yield {"tests": found[-1] if found else f"exit code {done.returncode}"}
    assert done.returncode in (0, 5), "\n".join(found[-30:])


def one_step(setting: Setting) -> Lines:
    """An update of D and one of G by every preset, in fp32, beside the processor's."""
    for name in PRESETS:
        chosen = setting.preset(name).with_overrides(batch=min(setting.scale.batch, 32))
        images, z, labels = _minibatch(chosen)
        updates = []
        for device in (torch.device("cpu"), setting.device):
            pair = _updates(chosen, device, torch.float32, None)
            on = [None if t is None else t.to(device) for t in (images, z, labels)]
            pair.update_both(cast(torch.Tensor, on[0]), cast(torch.Tensor, on[1]), on[2])
            updates.append(pair)
        losses = [pair.mean_losses() for pair in updates]
        apart = max(abs(b - a) / abs(a) for a, b in zip(*losses, strict=True) if a and b)
        yield {"preset": name, "losses apart": apart, "gradients apart": _gradients_apart(*updates)}
        assert apart < 1e-4, "fp32 there is not what fp32 here is"


def _gradients_apart(one: Updates, other: Updates) -> float:
    """The largest distance of two gradients of a tensor, as a share of its norm."""
    found = 0.0
    for kind in ("generator", "discriminator"):
        pairs = zip(getattr(one, kind).parameters(), getattr(other, kind).parameters(), strict=True)
        for a, b in pairs:
            if a.grad is not None and b.grad is not None:
                apart = (a.grad - b.grad.cpu()).norm() / a.grad.norm().clamp_min(1e-20)
                found = max(found, float(apart))
    return found


def resume(setting: Setting) -> Lines:
    """Train, stop and go on, against a run that nothing interrupted."""
    for name in ("mnist28", "torch64", "lsun64"):
        chosen = replace(setting.preset(name), epochs=1, decay_epochs=0)
        data = setting.folder / name
        _write_noise(data, chosen, chosen.batch * 20)
        config = TrainConfig(chosen, str(data), seed=1, device=_kind(setting), compile="off")
        whole, stopped = setting.folder / f"{name} whole", setting.folder / f"{name} stopped"
        train(config, whole)
        train(config, stopped, should_stop=partial(_after, itertools.count()))
        train(config, stopped)
        last = [read_log(folder)[-1] for folder in (whole, stopped)]
        losses = [line["d_loss"] for line in last]
        yield {"preset": name, "d_loss": losses[0], "apart": abs(losses[0] - losses[1])}
        assert last[0]["step"] == last[1]["step"] == 20


def _after(asked: Iterator[int]) -> bool:
    return next(asked) >= _STOPPED_AT


# --- Fast -------------------------------------------------------------------------------------


def memory(setting: Setting) -> Lines:
    """What a training holds at most, and a refusal that is one line."""
    pair, step = _stepper(setting, "lsun64", "off")
    step()
    setting.wait()
    if setting.device.type == "cuda":
        yield {"lsun64, most GiB": torch.cuda.max_memory_allocated() / 2**30}
    try:
        with memory_named(setting.device, "everything"):
            raise torch.OutOfMemoryError if setting.simulated else _take_all(setting.device)
    except Exception as error:
        yield {"out of memory": f"{type(error).__name__}: {error}"}
    del pair


def _take_all(device: torch.device) -> Exception:
    torch.empty(2**60, dtype=torch.uint8, device=device)
    return AssertionError("2^60 bytes were to be had")


def products(setting: Setting) -> Lines:
    """The chip's own rate of products, which every share below is of."""
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        yield {f"{name} product, TFLOP/s": _product_rate(setting, kind) / 1e12}


def _product_rate(setting: Setting, kind: torch.dtype) -> float:
    side = setting.scale.side
    one, other = (torch.randn(side, side, device=setting.device, dtype=kind) for _ in range(2))
    torch.mm(one, other)
    runs = [setting.seconds(lambda: torch.mm(one, other)) for _ in range(5)]
    return 2 * side**3 / statistics.median(runs)


def loading(setting: Setting) -> Lines:
    """Pictures that stay on the device beside those that are read ahead."""
    ways: tuple[Loading, ...] = ("resident", "streamed")
    for way in ways:
        _, step = _stepper(setting, "torch64", "off", way)
        yield {"torch64": way, **_rate(setting, step)}


def features(setting: Setting) -> Lines:
    """`imagenet32`'s features of CIFAR-sized pictures."""
    from dcgan_models.classification.features import feature_blocks

    chosen, n = setting.preset("imagenet32"), setting.scale.pictures
    pictures = _noise(chosen, n)
    for name in ("fp32", "bf16"):
        kind = choose_precision(cast(Any, name), setting.device)
        d = untrained_discriminator(chosen, pictures[:256], 0, setting.device)
        blocks = feature_blocks(d, pictures, 256, kind)
        seconds = setting.seconds(partial(list, blocks))
        yield {"features": name, "pictures/s": n / seconds}


def nearest(setting: Setting) -> Lines:
    """The 1-NN error of generated digits: the MNIST table's two sizes."""
    from dcgan_models.neighbours.generated import labelled_blocks
    from dcgan_models.neighbours.nearest import flat_pixels, nearest_neighbour_errors

    chosen = setting.preset("mnist28")
    generator = untrained_generator(chosen, seed=0).to(setting.device)
    queries = flat_pixels(_noise(chosen, setting.scale.queries)).to(setting.device)
    labels = torch.arange(len(queries)) % chosen.classes
    for n in setting.scale.references:
        blocks = labelled_blocks(generator, n, seed=0, block=min(n, 8192))
        seconds = setting.seconds(partial(nearest_neighbour_errors, queries, labels, blocks))
        yield {"references": n, "s, drawing them included": seconds}


def svm(setting: Setting) -> Lines:
    """The authors' seven values of C on rows of CIFAR's width."""
    from dcgan_models.classification.svm import fit_path

    rng, scale = np.random.default_rng(0), setting.scale
    x = rng.random((scale.rows, scale.features), dtype=np.float32)
    y = rng.integers(0, 10, scale.rows)
    values = [10.0**-k for k in range(1, 8)]
    seconds = setting.seconds(lambda: fit_path(x, y, values, device=setting.device.type))
    yield {"rows": scale.rows, "columns": scale.features, "grid, s": seconds}


def autoencoder(setting: Setting) -> Lines:
    """The deduplication's autoencoder: updates a second."""
    from dcgan_models.dedup.autoencoder import AutoencoderConfig, train_autoencoder

    pictures = np.random.default_rng(0).integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8)
    updates = 4 if setting.simulated else 500
    config = AutoencoderConfig(epochs=1000, max_updates=updates)
    seconds = setting.seconds(lambda: train_autoencoder(pictures, config, device=setting.device))
    yield {"updates/s": updates / seconds}


def rate(setting: Setting, mode: str) -> Lines:
    """A pair of updates, and what share of the product rate it reaches."""
    for name in ("mnist28", "torch64", "lsun64"):
        _, step = _stepper(setting, name, cast(Compile, mode))
        first = setting.seconds(step)
        found = _rate(setting, step)
        yield {"preset": name, "compile": mode, "first step, s": first, **found}
        if name == "lsun64":
            share = _flops(setting, name) / (found["ms a pair of updates"] / 1e3)
            share /= _product_rate(setting, torch.bfloat16)
            yield {"lsun64, share of the bf16 product rate": share, "floor": 0.30, "aim": 0.45}


def _flops(setting: Setting, name: str) -> int:
    """Operations of convolutions and products in a pair of updates, as torch counts."""
    from torch.utils.flop_counter import FlopCounterMode

    _, step = _stepper(setting, name, "off")
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def _rate(setting: Setting, step: Callable[[], None]) -> dict[str, Any]:
    for _ in range(3):
        step()

    def steps() -> None:
        for _ in range(setting.scale.steps):
            step()

    runs = [setting.seconds(steps) / setting.scale.steps for _ in range(3)]
    return {"ms a pair of updates": 1e3 * statistics.median(runs), "lowest": 1e3 * min(runs)}


# --- What they share --------------------------------------------------------------------------


def _kind(setting: Setting) -> Any:
    return setting.device.type


def _updates(
    chosen: Preset, device: torch.device, precision: torch.dtype, compiled: str | None
) -> Updates:
    networks = Generator(chosen), Discriminator(chosen)
    for network in networks:
        initialise(network, torch.Generator().manual_seed(0))
    generator, discriminator = (copy.deepcopy(network).to(device) for network in networks)
    return Updates(
        cast(Generator, generator),
        cast(Discriminator, discriminator),
        precision=precision,
        compiled=compiled,
    )


def _minibatch(chosen: Preset) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    images = from_pixels(torch.from_numpy(_noise(chosen, chosen.batch)), chosen)
    z = draw_latents(chosen, chosen.batch, torch.Generator().manual_seed(2))
    labels = torch.arange(chosen.batch) % chosen.classes if chosen.classes else None
    return images, z, labels


def _noise(chosen: Preset, n: int) -> npt.NDArray[np.uint8]:
    channels, height, width = chosen.image
    shape = (n, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _write_noise(folder: Path, chosen: Preset, n: int) -> PixelStore:
    """A data set of noise: what a picture shows does not change how long it takes."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "shard.npy", _noise(chosen, n))
    columns = {"key": [str(i) for i in range(n)], "shard": [0] * n, "row": list(range(n))}
    labels = {"label": [i % 10 for i in range(n)], "split": ["train"] * n}
    pq.write_table(pa.table({**columns, **labels}), folder / "index.parquet")
    write_dataset(folder, index="index.parquet", shards=["shard.npy"])
    return PixelStore.open(folder)


def _stepper(
    setting: Setting, name: str, mode: Compile, way: Loading = "resident"
) -> tuple[Updates, Callable[[], None]]:
    """A pair of updates as the training loop makes it, whatever the preset's schedule."""
    chosen, device = setting.preset(name), setting.device
    store = _write_noise(setting.folder / f"{name} {way}", chosen, chosen.batch * 8)
    order = Order(len(store), chosen.batch, 0, Team())
    pictures: Pictures = open_pictures(store, order, device, way, itertools.count())
    compiled = choose_compile(mode, device, sys.maxsize)
    updates = _updates(chosen, device, choose_precision("auto", device), compiled)
    latents, numbers = torch.Generator().manual_seed(0), itertools.count()

    def step() -> None:
        number = next(numbers)
        images = from_pixels(pictures.pixels(number), chosen)
        labels = pictures.labels(number) if chosen.classes else None
        z = draw_latents(chosen, chosen.batch, latents).to(device, non_blocking=True)
        updates.update_both(images, z, labels)

    return updates, step


# In this order; what compiles crashes the easiest. In a simulation the modes are those of the
# processor, where nothing is recorded: tests/dcgan_models/training/test_recorded_graphs.py does.
CHECKS: dict[str, Callable[[Setting], Lines]] = {
    "machine": machine,
    "products": products,
    "one_step": one_step,
    "resume": resume,
    "rate_eager": lambda setting: rate(setting, "off"),
    "loading": loading,
    "memory": memory,
    "features": features,
    "nearest": nearest,
    "svm": svm,
    "autoencoder": autoencoder,
    "marked_tests": marked_tests,
    "rate_default": lambda setting: rate(setting, "default"),
    "rate_reduce_overhead": lambda setting: rate(setting, "reduce-overhead"),
}
# Minutes of compiling for the processor tell nothing of a GPU.
_ON_A_GPU_ALONE = ("rate_default", "rate_reduce_overhead")


def main() -> int:
    """Run every check in turn, or the one that `--only` names in this process."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--simulate", action="store_true", help="on the processor, in small")
    parser.add_argument("--lines", type=Path, default=Path("gpu-check.jsonl"), metavar="FILE")
    parser.add_argument("--only", choices=list(CHECKS), help="this check alone")
    a = parser.parse_args()
    if a.only:
        return _run(a.only, simulate=a.simulate)
    a.lines.write_text("", encoding="utf-8")
    names = [name for name in CHECKS if not (a.simulate and name in _ON_A_GPU_ALONE)]
    failed = [name for name in names if not _run_apart(name, a)]
    print(f"failed: {', '.join(failed)}" if failed else f"all {len(names)} checks ran", flush=True)
    return int(bool(failed))


def _run(name: str, *, simulate: bool) -> int:
    device = choose_device("cpu" if simulate else "cuda")
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(device, SIMULATED if simulate else GPU, Path(folder))
        for line in CHECKS[name](setting):
            print(json.dumps(line), flush=True)
    return 0


def _run_apart(name: str, a: argparse.Namespace) -> bool:
    """One check in a process of its own; each line goes on as soon as it comes."""
    words = [sys.executable, "-m", "benchmarks.gpu_check", "--only", name]
    words += ["--simulate"] if a.simulate else []
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True)
        watch = _killed_after(child, _PATIENCE_S)
        assert child.stdout is not None
        for line in child.stdout:
            _tell(a.lines, name, json.loads(line))
        code = child.wait()
        watch.cancel()
        errors.seek(0)
        said = errors.read().strip().splitlines()
    outcome: dict[str, Any] = {"seconds": round(time.perf_counter() - start, 1)}
    if code:
        outcome |= {"FAILED": code, "said": said[-12:]}
    _tell(a.lines, name, outcome)
    return code == 0


def _killed_after(child: subprocess.Popen[str], seconds: float) -> Any:
    import threading

    watch = threading.Timer(seconds, child.kill)
    watch.daemon = True
    watch.start()
    return watch


def _tell(path: Path, check: str, line: dict[str, Any]) -> None:
    short = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in line.items()}
    text = json.dumps({"check": check, **short})
    print(text, flush=True)
    with path.open("a", encoding="utf-8") as lines:
        lines.write(text + "\n")
        lines.flush()
        os.fsync(lines.fileno())


if __name__ == "__main__":
    sys.exit(main())
