"""A group of a user's own pictures with tiny networks, as params.yaml has it below `groups`."""

from typing import Any

CATS = {
    "images": {"source": "folder", "path": "pictures", "size": 64, "shards": 2},
    "training_set": {"held_out": 0.2},
    "extractor": {"epochs": 1},
    "candidate": {
        "preset": "lsun64",
        "width": 0.05,
        "batch": 8,
        "epochs": 1,
        "decay_epochs": 0,
        "snapshots": [1],
        "health": {"diversity": 0.0},
    },
    "quality": {
        "samples": 20,
        "kid_subsets": 2,
        "kid_size": 4,
        "snapshot_samples": 20,
    },
    "samples": {"rows": 2, "columns": 2},
    "latent_walk": {"segments": 1, "steps": 2, "pixel_rows": 1},
}


def small_candidate(width: float, batch: int, epochs: int = 1) -> dict[str, Any]:
    """What is changed of a section `candidate`, so that a training takes a moment."""
    return {
        "width": width,
        "discriminator_width": width,
        "batch": batch,
        "epochs": epochs,
        "snapshots": [1],
        "health": {"diversity": 0},
    }
