"""The Hugging Face folder: the card's own example, as it stands, draws the network's pictures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from small_generator import small_generator

from dcgan_models.networks import Generator, draw_latents
from dcgan_models.portable.hugging_face import write_hugging_face
from dcgan_models.presets import PRESETS


def written(folder: Path, generator: Generator) -> Path:
    folder.mkdir()
    write_hugging_face(generator, folder, "DCGAN, rooms", [("network", "rooms/generator")])
    return folder


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_example_of_the_card_draws_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    generator = small_generator(name, shifts=1.0)
    monkeypatch.chdir(written(tmp_path / "card", generator))
    found: dict[str, object] = {}
    exec(_example(), found)  # noqa: S102  (it is what a reader copies)
    draw = found["draw"]
    assert callable(draw)
    z = draw_latents(generator.preset, 12, torch.Generator().manual_seed(0))
    classes = generator.preset.classes
    labels = torch.arange(12) % classes if classes else None
    pictures = draw(z, labels) if classes else draw(z)
    want = generator.draw(z, labels)
    assert np.abs(pictures.numpy().astype(int) - want).max() <= 1
    assert want.std() > 5
    assert Image.open("picture.png").size == generator.preset.image[:0:-1]


@pytest.mark.slow
def test_the_example_needs_no_package_of_ours(tmp_path: Path) -> None:
    folder = written(tmp_path / "card", small_generator("svhn32"))
    script = f"import sys\nsys.modules['dcgan_models'] = None\n{_example(folder)}"
    subprocess.run([sys.executable, "-I", "-c", script], cwd=folder, check=True, timeout=600)
    assert (folder / "picture.png").is_file()


def test_the_card_has_the_hubs_front_matter_and_says_what_is_known(tmp_path: Path) -> None:
    folder = written(tmp_path / "card", small_generator())
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "samples.png",
    ]
    card = (folder / "README.md").read_text("utf-8")
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "pytorch",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["dcgan", "gan"],
    }
    assert "# DCGAN, rooms" in text
    assert "64 x 64" in text
    assert "100 numbers, uniform from -1 to 1" in text
    assert "- network: rooms/generator" in text
    assert all(
        tensor.dtype == torch.float32 for tensor in load_file(folder / "model.safetensors").values()
    )


def _example(folder: Path = Path()) -> str:
    (found,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.S)
    assert isinstance(found, str)
    return found
