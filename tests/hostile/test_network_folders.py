"""Folders of published networks: damaged, foreign, or with pickled code in them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_networks import generator, save_generator, small

from dcgan_models.networks import (
    Discriminator,
    load_discriminator,
    load_generator,
    load_weights,
    save_weights,
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_generator(tmp_path / "generator")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no file of ours, whatever its name says")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def edited(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return apply


def described(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


def array(content: npt.NDArray[Any]) -> Callable[[Path], None]:
    return lambda path: np.save(path, content)


FIRST = "blocks.0.weight.weight"


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("weights.safetensors", Path.unlink, "no such weights file"),
        ("weights.safetensors", cut_short, "not a whole safetensors file"),
        ("weights.safetensors", garbage, "not a whole safetensors file"),
        ("weights.safetensors", emptied, "not a whole safetensors file"),
        ("weights.safetensors", edited(lambda t: t.pop(FIRST)), f"{FIRST} is missing"),
        ("weights.safetensors", edited(lambda t: t.update(x=torch.ones(2))), "unknown tensor x"),
        (
            "weights.safetensors",
            edited(lambda t: t.update({FIRST: torch.ones(3, 4)})),
            f"{FIRST} has shape (3, 4), expected (31, 110)",
        ),
        (
            "weights.safetensors",
            edited(lambda t: t[FIRST].__setitem__((2, 5), torch.nan)),
            f"{FIRST} holds values that are not finite",
        ),
        (
            "weights.safetensors",
            edited(lambda t: t["blocks.1.norm.var"].__setitem__(0, torch.inf)),
            "blocks.1.norm.var holds values that are not finite",
        ),
        ("network.json", Path.unlink, "no network here"),
        ("network.json", cut_short, "not a network description"),
        ("network.json", garbage, "not a network description"),
        ("network.json", described(lambda c: c.pop("role")), "role"),
        ("network.json", described(lambda c: c.update(role="discriminator")), "a generator is"),
        ("network.json", described(lambda c: c["preset"].update(colour=1)), "'colour'"),
        ("network.json", described(lambda c: c["preset"].pop("image")), "image"),
        ("network.json", described(lambda c: c["preset"].update(image=[1, "x"])), "picture"),
        ("network.json", described(lambda c: c.update(preset="mnist28")), "mapping"),
        (
            "network.json",
            described(lambda c: c["preset"]["generator"][2].update(kernel=3)),
            "generator ends at",
        ),
        ("fixed_z.npy", cut_short, "not a plain array"),
        ("fixed_z.npy", garbage, "not a plain array"),
        ("fixed_z.npy", emptied, "not a plain array"),
        ("fixed_z.npy", array(np.zeros((20, 99), np.float32)), "float32 (n, 100)"),
        ("fixed_z.npy", array(np.zeros((20, 100), np.float64)), "float32 (n, 100)"),
        ("fixed_y.npy", array(np.zeros((20, 1), np.int64)), "int64 (n)"),
    ],
)
def test_a_damaged_folder_is_refused(
    saved: Path, refused: Any, file: str, damage: Callable[[Path], None], words: str
) -> None:
    load_generator(saved)
    damage(saved / file)
    with refused(str(saved), words):
        load_generator(saved)


def test_weights_of_another_preset_are_refused(saved: Path, refused: Any) -> None:
    save_weights(generator("mnist28_fc"), saved / "weights.safetensors")
    with refused("not the weights of preset mnist28", "blocks."):
        load_generator(saved)


def test_a_network_of_the_other_role_is_refused(saved: Path, refused: Any) -> None:
    with refused("this is a generator, a discriminator is needed"):
        load_discriminator(saved)
    with refused("not the weights of preset mnist28"):
        load_weights(Discriminator(small("mnist28")), saved / "weights.safetensors")


class Trap:
    """An object that leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pickled_latents_are_never_unpickled(saved: Path, refused: Any, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(sprung)))  # noqa: S301  (shows that the trap works)
    sprung.unlink()
    np.save(saved / "fixed_z.npy", np.array([Trap(sprung)], dtype=object), allow_pickle=True)
    with refused("fixed_z.npy", "not a plain array"):
        load_generator(saved)
    (saved / "fixed_z.npy").write_bytes(pickle.dumps(Trap(sprung)))
    with refused("fixed_z.npy", "not a plain array"):
        load_generator(saved)
    assert not sprung.exists()
