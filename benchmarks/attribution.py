"""Figure 5's pass over the pictures against D's bare forward: `python -m benchmarks.attribution`.

The bare pass is D in `eval()` mode on inputs that lie ready on the device, in the same batches,
its logits thrown away. What `top_activations` adds is reading the pictures from their shard,
scaling them, and keeping the best; it spares the output unit. Guided backpropagation itself is a
few pictures a filter, once: its time stands beside it. Target: at least 0.80 of the bare rate.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.harness import interleaved, options, ratios, report
from dcgan_models.data import PixelStore, write_dataset
from dcgan_models.internals.attribution import guided_backpropagation, top_activations
from dcgan_models.machine import choose_device
from dcgan_models.networks import picture_batches, untrained_discriminator
from dcgan_models.presets import preset


def write_store(folder: Path, n: int, side: int) -> PixelStore:
    """Random pictures in a shard on disk."""
    rng = np.random.default_rng(0)
    np.save(folder / "shard.npy", rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8))
    columns = {name: np.arange(n) for name in ("row", "label")}
    zeros = np.zeros(n, np.int64)
    index = {"key": list(map(str, range(n))), "shard": zeros, "split": ["train"] * n, **columns}
    pq.write_table(pa.table(index), folder / "index.parquet")
    write_dataset(folder, index="index.parquet", shards=["shard.npy"])
    return PixelStore.open(folder)


def main() -> None:
    """Measure and report."""
    parser = options(str(__doc__).splitlines()[0], runs=5)
    parser.add_argument("--preset", default="lsun64")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()
    device = choose_device("auto")
    chosen = preset(arguments.preset).with_overrides(width=arguments.width)
    n = arguments.pictures
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder), n, chosen.image[1])
        discriminator = untrained_discriminator(chosen, store.gather(range(128)), 0).to(device)
        inputs = list(picture_batches(discriminator, store, arguments.batch))

        def scan() -> None:
            top_activations(discriminator, store, batch=arguments.batch)

        @torch.inference_mode()
        def bare() -> None:
            for images in inputs:
                discriminator(images)
            if device.type == "cuda":
                torch.cuda.synchronize()

        some, units = store.gather(range(10)), np.zeros((10, 2), np.int64)

        def guided() -> None:
            guided_backpropagation(discriminator, some, 0, units)

        seconds = interleaved({"scan": scan, "bare": bare, "guided": guided}, arguments.runs)
    report(
        {
            "preset": arguments.preset,
            "width": arguments.width,
            "pictures": n,
            "batch": arguments.batch,
        },
        {
            "scan, pictures/s": [n / s for s in seconds["scan"]],
            "bare forward, pictures/s": [n / s for s in seconds["bare"]],
            "scan / bare": ratios(seconds["bare"], seconds["scan"]),
            "guided backpropagation of 10 tiles, s": seconds["guided"],
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
