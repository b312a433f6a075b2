"""Features against D's bare forward pass: `python -m benchmarks.features`.

The bare pass is D in `eval()` mode on inputs that lie ready on the device, in the same batches and
the same precision, its logits thrown away. What `feature_blocks` adds is scaling the pixels,
pooling, the way to float16 and to the processor's memory, and the check that all is finite.
Target: at least 0.90 of the bare rate.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.harness import interleaved, options, ratios, report
from dcgan_models.classification.features import feature_blocks, feature_count
from dcgan_models.machine import choose_device
from dcgan_models.networks import Discriminator, fix_statistics, initialise, picture_batches
from dcgan_models.presets import preset


def main() -> None:
    """Measure and report."""
    parser = options(str(__doc__).splitlines()[0], runs=5)
    parser.add_argument("--preset", default="imagenet32")
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    arguments = parser.parse_args()
    device = choose_device("auto")
    precision = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    discriminator = Discriminator(preset(arguments.preset)).to(device)
    initialise(discriminator, torch.Generator(device).manual_seed(0))
    n, side = arguments.pictures, discriminator.preset.image[1]
    pictures = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    fix_statistics(discriminator, pictures[:256])
    inputs = list(picture_batches(discriminator, pictures, arguments.batch))

    def features() -> None:
        for _ in feature_blocks(discriminator, pictures, arguments.batch, precision):
            pass

    @torch.inference_mode()
    def bare() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision is torch.bfloat16):
            for images in inputs:
                discriminator(images)
        if device.type == "cuda":
            torch.cuda.synchronize()

    seconds = interleaved({"features": features, "bare": bare}, arguments.runs)
    report(
        {
            "preset": arguments.preset,
            "features a picture": feature_count(discriminator.preset),
            "pictures": n,
            "batch": arguments.batch,
            "precision": arguments.precision,
        },
        {
            "features, pictures/s": [n / s for s in seconds["features"]],
            "bare forward, pictures/s": [n / s for s in seconds["bare"]],
            "features / bare": ratios(seconds["bare"], seconds["features"]),
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
