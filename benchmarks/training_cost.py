"""What the paper's trainings cost, in operations: `python -m benchmarks.training_cost`.

For each preset an update of D and one of G are made on a few pictures at full width, and torch
counts the operations of their convolutions and products. With the number of pictures of each data
set and the preset's epochs this gives the whole training; nothing is timed. `--rate` divides it by
the operations a second that you measured, for instance by `python -m benchmarks.train_step`.
"""

from __future__ import annotations

import argparse

import torch
from torch.utils.flop_counter import FlopCounterMode

from dcgan_models.networks import Discriminator, Generator, draw_latents, initialise
from dcgan_models.presets import Preset, preset
from dcgan_models.training.updates import Updates

# Pictures that the paper trains on. LSUN's 3,033,042 bedrooms less the 275,000 that the paper
# removed; the authors' script takes 350,000 faces.
PICTURES = {
    "mnist28": 50_000,
    "mnist28_fc": 50_000,
    "lsun64": 2_758_042,
    "faces64": 350_000,
    "imagenet32": 1_281_167,
    "svhn32": 73_257,
}
_BATCH = 4


def operations(chosen: Preset) -> float:
    """Operations of an update of D and one of G, for each picture of a minibatch."""
    rng = torch.Generator().manual_seed(0)
    networks = Generator(chosen), Discriminator(chosen)
    for network in networks:
        initialise(network, rng)
    updates = Updates(*networks)
    z = draw_latents(chosen, _BATCH, rng)
    labels = torch.arange(_BATCH) % chosen.classes if chosen.classes else None
    with FlopCounterMode(display=False) as counter:
        updates.update_discriminator(torch.rand(_BATCH, *chosen.image), z, labels)
        updates.update_generator(z, labels)
    return float(counter.get_total_flops()) / _BATCH


def main() -> None:
    """Print a row for each training of the paper."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=1.0, help="TFLOP/s that are sustained")
    rate = parser.parse_args().rate
    print(f"| preset | pictures x epochs | GFLOP a pair | PFLOP | hours at {rate:g} TFLOP/s |")
    print("| --- | --- | --- | --- | --- |")
    for name, pictures in PICTURES.items():
        chosen = preset(name)
        pair, epochs = operations(chosen), chosen.epochs + chosen.decay_epochs
        # Alternating updates: a minibatch is one network's, and a pair takes two of them.
        whole = pictures * epochs / 2 * pair
        print(
            f"| `{name}` | {pictures:,} x {epochs} | {pair / 1e9:.3g} | {whole / 1e15:.3g} | "
            f"{whole / rate / 3.6e15:.3g} |"
        )


if __name__ == "__main__":
    main()
