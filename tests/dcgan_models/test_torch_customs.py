"""What users of torch and of notebooks expect of our classes."""

from __future__ import annotations

import io
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkout import CHECKOUT
from PIL import Image
from pixel_folders import N, pictures
from small_generator import publish_generator, small_generator
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from dcgan_models.data import PixelStore
from dcgan_models.networks import draw_latents


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_pictures: Any) -> Path:
    return Path(write_pictures(tmp_path_factory.mktemp("sharded"), pictures(), shards=4))


def test_a_picture_by_its_row_is_chw_with_its_label(folder: Path) -> None:
    store = PixelStore.open(folder)
    picture, label = store[13]
    assert picture.dtype == torch.uint8
    assert torch.equal(picture, torch.from_numpy(pictures()[13]).permute(2, 0, 1))
    assert (label, type(label)) == (3, int)
    assert torch.equal(store[-1][0], store[N - 1][0])
    with pytest.raises(IndexError):
        store[N]


def test_transforms_of_torchvision_compose(folder: Path) -> None:
    flip = v2.Compose([v2.RandomHorizontalFlip(p=1), v2.ToDtype(torch.float32, scale=True)])
    store = PixelStore.open(folder, transform=flip)
    expected = torch.from_numpy(pictures()[5][:, ::-1].copy()).permute(2, 0, 1) / 255
    for each in (store[5][0], store.subset(np.array([5]))[0][0]):
        assert torch.allclose(each, expected)
    assert np.array_equal(store.gather([5])[0], pictures()[5])  # as on disk


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_of_a_loader_read_the_same_pictures(folder: Path, method: str) -> None:
    store = PixelStore.open(folder)
    context = multiprocessing.get_context(method)
    loader = DataLoader(
        store, batch_size=7, num_workers=1, multiprocessing_context=context, pin_memory=False
    )
    batches = list(loader)
    images = torch.cat([images for images, _ in batches])
    assert torch.equal(images, torch.from_numpy(pictures()).permute(0, 3, 1, 2))
    assert torch.cat([labels for _, labels in batches]).tolist() == store.labels.tolist()


def test_another_process_is_given_paths_and_no_pixels(tmp_path: Path, write_pictures: Any) -> None:
    large = np.zeros((500, 32, 32, 3), np.uint8)
    store = PixelStore.open(write_pictures(tmp_path, large, shards=1))
    sent = pickle.dumps(store)
    assert len(sent) < large.nbytes / 10
    assert np.array_equal(pickle.loads(sent).gather([7]), large[7:8])  # noqa: S301
    here = PixelStore([large], store.shard, store.row, store.labels, store.keys)
    assert np.array_equal(pickle.loads(pickle.dumps(here)).gather([7]), large[7:8])  # noqa: S301


def test_a_notebook_shows_the_fixed_latents() -> None:
    generator = small_generator()
    assert generator._repr_png_() is None
    generator.fixed_z = draw_latents(generator.preset, 120, torch.Generator().manual_seed(3))
    generator.train()
    shown = generator._repr_png_()
    assert shown is not None
    assert generator.training
    grid = np.asarray(Image.open(io.BytesIO(shown)))
    assert grid.shape == (640, 640, 3)
    assert np.array_equal(grid, generator.fixed_grid())


def test_repr_says_preset_size_and_statistics() -> None:
    generator = small_generator()
    size = sum(parameter.numel() for parameter in generator.parameters())
    line = f"lsun64, pictures 3x64x64, {size:,} parameters, statistics fixed"
    assert line in repr(generator)
    assert "ConvTranspose2d" in repr(generator)


def test_torch_hub_loads_from_a_checkout(tmp_path: Path) -> None:
    publish_generator(tmp_path, "lsun", seed=4)
    (tmp_path / "hubconf.py").write_bytes((CHECKOUT / "hubconf.py").read_bytes())
    loaded = torch.hub.load(str(tmp_path), "generator", group="lsun", source="local")
    assert loaded.sample(2, seed=0).shape == (2, 64, 64, 3)
