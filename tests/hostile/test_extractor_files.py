"""Files of a feature extractor that are damaged or foreign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dcgan_models.files import read_json, write_json
from dcgan_models.metrics.extractor import (
    load_extractor,
    random_extractor,
    save_extractor,
)


def test_broken_files_are_refused(refused: Any, tmp_path: Path) -> None:
    with refused("no extractor here", "extractor.json"):
        load_extractor(tmp_path)
    save_extractor(random_extractor(1), tmp_path)
    description = read_json(tmp_path / "extractor.json")
    write_json(tmp_path / "extractor.json", {**description, "fingerprint": "0" * 12})
    with refused("fingerprint", "do not belong together"):
        load_extractor(tmp_path)
    for change in ({"kind": "../x"}, {"classes": 10**9}, {"classes": "2"}):
        write_json(tmp_path / "extractor.json", {**description, **change})
        with refused("extractor.json", "not the description"):
            load_extractor(tmp_path)
    write_json(tmp_path / "extractor.json", {**description, "classes": 3})
    with refused("not the weights", "3 classes"):
        load_extractor(tmp_path)
    write_json(tmp_path / "extractor.json", description)
    weights = tmp_path / "weights.safetensors"
    tensors = load_file(weights)
    save_file({**tensors, "dense.bias": torch.full((128,), torch.nan)}, weights)
    with refused("dense.bias", "not finite"):
        load_extractor(tmp_path)
    weights.write_bytes(b"short")
    with refused("not a whole safetensors file"):
        load_extractor(tmp_path)
    weights.unlink()
    with refused("no such weights file"):
        load_extractor(tmp_path)
