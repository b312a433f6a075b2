"""What must run on a GPU, run on the second device: `python tests/second_device_run.py FOLDER`.

A process of its own. Each case prints its name and `ok`, or what it raised.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from second_device import SECOND

from dcgan_models import machine, networks
from dcgan_models.classification.features import feature_blocks
from dcgan_models.data import PixelStore
from dcgan_models.dedup.autoencoder import AutoencoderConfig, train_autoencoder
from dcgan_models.internals.attribution import visualise_filters
from dcgan_models.internals.forgetting import draw_without, layer_activations
from dcgan_models.internals.inversion import invert
from dcgan_models.neighbours import exact_distances, nearest
from dcgan_models.neighbours.generated import labelled_blocks
from dcgan_models.neighbours.retrieval import last_features, median_distance, nearest_by
from dcgan_models.networks import (
    Generator,
    draw_latents,
    estimate_sampling_statistics,
    fix_statistics,
    initialise,
    on_device,
    save_network,
    untrained_discriminator,
)
from dcgan_models.presets import Preset, preset
from dcgan_models.training import TrainConfig, loop, train
from dcgan_models.training.checkpoint import load_state

CASES: dict[str, Callable[[Path], None]] = {}
SMALL = preset("lsun64").with_overrides(width=0.02, batch=8)
DIGITS = preset("mnist28").with_overrides(width=0.05, batch=8, epochs=2, decay_epochs=0)


def case(function: Callable[[Path], None]) -> Callable[[Path], None]:
    CASES[function.__name__] = function
    return function


def generator_of(chosen: Preset) -> Generator:
    made = Generator(chosen)
    initialise(made, torch.Generator().manual_seed(0))
    estimate_sampling_statistics(made, seed=0, minibatches=3)
    return made


def pictures(n: int, chosen: Preset) -> Any:
    channels, height, width = chosen.image
    return np.random.default_rng(1).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def both(compute: Callable[[Any], Any], rtol: float = 1e-4) -> None:
    """The same on the processor and there."""
    here, there = compute("cpu"), compute(SECOND)
    torch.testing.assert_close(
        torch.as_tensor(there).cpu(), torch.as_tensor(here), rtol=rtol, atol=1e-4
    )


@case
def mixing_is_refused(folder: Path) -> None:
    """Or the cases below would tell nothing."""
    there = torch.ones(3, device=SECOND)
    for mixed in (lambda: there + torch.ones(3), lambda: torch.ones(3) @ there, there.numpy):
        try:
            mixed()
        except (RuntimeError, TypeError):
            continue
        raise AssertionError("two devices were mixed")


@case
def a_network_is_opened_and_draws(folder: Path) -> None:
    made = generator_of(DIGITS)
    made.fixed_z = draw_latents(DIGITS, 20, torch.Generator().manual_seed(3))
    made.fixed_labels = torch.arange(20) % 10
    save_network(made, folder / "generator")
    opened = networks.load_generator(folder / "generator", device="cuda")
    assert next(opened.parameters()).device == SECOND
    drawn = opened.draw(opened.fixed_z, opened.fixed_labels)
    expected = made.draw(made.fixed_z, made.fixed_labels)
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert opened.sample(5, seed=0).shape == (5, 28, 28, 1)
    assert opened.fixed_grid().shape == made.fixed_grid().shape


@case
def statistics_and_features(folder: Path) -> None:
    shown = pictures(24, SMALL)

    def found(device: Any) -> Any:
        d = untrained_discriminator(SMALL, shown, 0, device)
        fix_statistics(d, shown, batch=8)
        return np.concatenate(list(feature_blocks(d, shown, batch=10))).astype(np.float32)

    both(found, 1e-2)  # features are kept in float16


@case
def figure_5(folder: Path) -> None:
    shown = pictures(24, SMALL)

    def found(device: Any) -> Any:
        d = untrained_discriminator(SMALL, shown, 0, device)
        return visualise_filters(d, shown, [0, 1], k=3).hits.values

    both(found)


@case
def nearest_training_images(folder: Path) -> None:
    shown = pictures(24, SMALL)

    def found(device: Any) -> Any:
        d = untrained_discriminator(SMALL, shown, 0, device)
        seen = last_features(d, shown)
        code = torch.from_numpy(shown[:, ::8, ::8, 0].reshape(24, -1).astype(np.float32))
        spaces = code.to(device), seen
        blocks = [((spaces[0][a : a + 8], seen[a : a + 8]), torch.arange(a, a + 8)) for a in (0, 8)]
        scales = [median_distance(space) for space in spaces]
        return nearest_by([space[16:] for space in spaces], blocks, 3, scales=scales).distances

    both(found)


@case
def nearest_neighbour_scores(folder: Path) -> None:
    made = generator_of(DIGITS)
    exact_distances.SIZES["second"] = exact_distances.SIZES["cuda"]
    queries, labels = nearest.flat_pixels(pictures(30, DIGITS)), torch.arange(30) % 10
    errors = [
        nearest.nearest_neighbour_errors(
            queries.to(device), labels, labelled_blocks(made.to(device), 60, 0, block=25), (40,)
        )
        for device in ("cpu", SECOND)
    ]
    assert errors[0] == errors[1]


@case
def latents_inverted_and_maps_dropped(folder: Path) -> None:
    made = generator_of(SMALL).to(SECOND)
    z = draw_latents(SMALL, 6, torch.Generator().manual_seed(0))
    assert layer_activations(made, z, 2).device.type == "cpu"
    assert draw_without(made, z, [0, 1], 2).shape == (6, 64, 64, 3)
    assert invert(made, made.draw(z)[0], restarts=2, steps=2, seed=0).pictures.shape[0] == 2


@case
def an_autoencoder(folder: Path) -> None:
    shown = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    model = on_device(train_autoencoder(shown, AutoencoderConfig(epochs=1)), "cuda")
    assert model.encode(shown).shape == (40, 128)


def run_of(folder: Path, **settings: Any) -> TrainConfig:
    common: dict[str, Any] = {"seed": 5, "precision": "fp32", "compile": "off", "tick_steps": 4}
    chosen = replace(TrainConfig(DIGITS, str(folder / "data"), **common), **settings)
    write_pictures(folder / "data", pictures(64, DIGITS))
    return chosen


def write_pictures(folder: Path, pixels: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dcgan_models.data import write_dataset

    folder.mkdir(exist_ok=True)
    np.save(folder / "shard.npy", pixels)
    n = len(pixels)
    table = {"key": list(map(str, range(n))), "shard": [0] * n, "row": list(range(n))}
    labels = {"label": [i % 10 for i in range(n)], "split": ["train"] * n}
    pq.write_table(pa.table({**table, **labels}), folder / "index.parquet")
    write_dataset(folder, index="index.parquet", shards=["shard.npy"])


def weights_of(run_dir: Path) -> dict[str, torch.Tensor]:
    state = load_state(run_dir)
    assert state is not None
    return {n: t for n, t in state[0].items() if n.startswith(("generator.", "discriminator."))}


def assert_close(one: Path, other: Path) -> None:
    """In the mean: Adam makes whole steps of what rounding alone gives a sign."""
    expected = weights_of(other)
    for name, tensor in weights_of(one).items():
        if not name.endswith((".norm.mean", ".norm.var")):
            apart = float((tensor - expected[name]).abs().mean())
            assert apart < 2e-6, f"{name}: {apart}"


@case
def a_training_gives_what_the_processors_gives(folder: Path) -> None:
    for loading in ("resident", "streamed"):
        assert train(run_of(folder, device="cuda", loading=loading), folder / loading)
    assert train(run_of(folder, device="cpu"), folder / "cpu")
    for loading in ("resident", "streamed"):
        assert_close(folder / loading, folder / "cpu")


@case
def a_run_goes_on_on_the_other_device(folder: Path) -> None:
    config = {kind: run_of(folder, device=kind) for kind in ("cpu", "cuda")}
    assert train(config["cpu"], folder / "whole")
    for first, second in (("cpu", "cuda"), ("cuda", "cpu")):
        asked = iter(range(100))
        run_dir = folder / f"{first}, then {second}"
        stop = lambda: next(asked) >= 7  # noqa: B023, E731
        assert not train(config[first], run_dir, should_stop=stop)
        assert train(config[second], run_dir)
        assert_close(run_dir, folder / "whole")


@case
def all_pictures_by_blocks(folder: Path) -> None:
    from dcgan_models import data

    config = run_of(folder)
    data._BLOCK_BYTES = 5 * 28 * 28
    store = PixelStore.open(config.data)
    there = store.to_device(SECOND)
    assert there.device == SECOND
    assert np.array_equal(there.cpu().numpy(), store.gather(range(64)))


def choose(requested: str) -> torch.device:
    return torch.device("cpu") if requested == "cpu" else SECOND


def main() -> None:
    for module in (machine, networks, loop):
        module.choose_device = choose  # type: ignore[attr-defined]
    root = Path(sys.argv[1])
    for name, function in CASES.items():
        (root / name).mkdir()
        try:
            function(root / name)
        except Exception:
            print(f"{name}: {traceback.format_exc()!r}", flush=True)
        else:
            print(f"{name}: ok", flush=True)


if __name__ == "__main__":
    main()
