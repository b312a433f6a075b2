"""Files of a feature extractor that are damaged or foreign."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dcgan_models.dedup.autoencoder import Autoencoder, AutoencoderConfig
from dcgan_models.files import read_json, write_json
from dcgan_models.metrics.extractor import AutoencoderExtractor, load_extractor, save_extractor


def test_broken_files_are_refused(refused: Any, tmp_path: Path) -> None:
    with refused("no extractor here", "extractor.json"):
        load_extractor(tmp_path)
    save_extractor(AutoencoderExtractor(Autoencoder(AutoencoderConfig()), 1.0), tmp_path)
    description = read_json(tmp_path / "extractor.json")
    write_json(tmp_path / "extractor.json", {**description, "fingerprint": "0" * 12})
    with refused("fingerprint", "do not belong together"):
        load_extractor(tmp_path)
    for change in ({"kind": "../x"}, {"scale": 0.0}, {"scale": "2"}):
        write_json(tmp_path / "extractor.json", {**description, **change})
        with refused("extractor.json", "not the description"):
            load_extractor(tmp_path)
    write_json(tmp_path / "extractor.json", description)
    weights = tmp_path / "weights.safetensors"
    tensors = load_file(weights)
    step = "encoder.weight.step"
    settings = {"autoencoder": json.dumps(asdict(AutoencoderConfig()))}
    save_file({**tensors, step: torch.full_like(tensors[step], torch.nan)}, weights, settings)
    with refused("encoder.weight", "not finite"):
        load_extractor(tmp_path)
    weights.write_bytes(b"short")
    with refused("not a whole safetensors file"):
        load_extractor(tmp_path)
    weights.unlink()
    with refused("no such weights file"):
        load_extractor(tmp_path)
