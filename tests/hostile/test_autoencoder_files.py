"""Weights of the autoencoder that finds duplicates: damaged, foreign, or asking for memory."""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_types import Refused
from safetensors.torch import save_file

from dcgan_models.dedup.autoencoder import (
    INPUTS,
    Autoencoder,
    AutoencoderConfig,
    load_autoencoder,
    save_autoencoder,
)

CONFIG = AutoencoderConfig(code=8)
WEIGHT = "encoder.weight"


def written(path: Path, config: Any = None, **tensors: torch.Tensor) -> None:
    """A whole safetensors file with this in its header, and these tensors beside the weights."""
    held = {WEIGHT: torch.zeros(8, INPUTS), "mean": torch.zeros(INPUTS), **tensors}
    text = config if isinstance(config, str) else json.dumps(config or asdict(CONFIG))
    save_file(held, path, metadata={"autoencoder": text})


def described(**changes: Any) -> Callable[[Path], None]:
    """The description with other values."""
    return lambda path: written(path, {**asdict(CONFIG), **changes})


def holding(tensor: torch.Tensor) -> Callable[[Path], None]:
    """Other weights."""
    return lambda path: written(path, **{WEIGHT: tensor})


def whole(make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """The bytes of a whole file, changed."""

    def change(path: Path) -> None:
        save_autoencoder(Autoencoder(CONFIG), path)
        path.write_bytes(make(path.read_bytes()))

    return change


def raw(content: bytes) -> Callable[[Path], None]:
    """These bytes."""

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def header(text: str, data: bytes = b"") -> Callable[[Path], None]:
    """A file of this header alone."""
    return lambda path: (
        path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + data) and None
    )


def undescribed(path: Path) -> None:
    save_file({WEIGHT: torch.zeros(8, INPUTS)}, path)


def large(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


def nan() -> torch.Tensor:
    weights = torch.zeros(8, INPUTS)
    weights[3, 3] = float("nan")
    return weights


TERABYTE = (
    '{"encoder.weight": {"dtype": "F32", "shape": [89478485, 3072], "data_offsets": [0, '
    f"{89478485 * 3072 * 4}]}}}}"
)
CASES: dict[str, Callable[[Path], None]] = {
    # --- Bytes ---
    "nothing there": lambda path: None,
    "empty": Path.touch,
    "cut short": whole(lambda all_of_it: all_of_it[:-7]),
    "cut in its header": whole(lambda all_of_it: all_of_it[:50]),
    "longer": whole(lambda all_of_it: all_of_it + b"\0"),
    "garbage": raw(b"garbage" * 1000),
    "a pickle": raw(pickle.dumps({WEIGHT: [0.0]})),
    "torch.save": lambda path: torch.save({WEIGHT: torch.zeros(8, INPUTS)}, path),
    "a header of 16 EiB": raw(b"\xff" * 64),
    "a header of nothing": header("{}"),
    "a header that is a list": header("[]"),
    "100,000 brackets in its header": header("[" * 100_000),
    "a tensor of a TB": header(TERABYTE, bytes(64)),
    "a tensor that overlaps itself": header(
        '{"encoder.weight": {"dtype": "F32", "shape": [8, 3072], "data_offsets": [0, 4]}}', bytes(4)
    ),
    "a hole of a GiB": large,
    # --- What it says of itself ---
    "no description": undescribed,
    "a description of nothing": lambda path: written(path, ""),
    "a description that is a list": lambda path: written(path, "[]"),
    "null": lambda path: written(path, "null"),
    "a deep description": lambda path: written(path, "[" * 100_000),
    "a number of 5,000 digits": lambda path: written(path, "9" * 5000),
    "an unknown key": described(x=1),
    "a key missing": lambda path: written(path, {"code": 8}),
    "a code of 100 GB": described(code=8 * 10**6),
    "a code beyond 64 bits": described(code=8 * 10**30),
    "a code of nothing": described(code=0),
    "a code below": described(code=-8),
    "an odd code": described(code=9),
    "a code that is a text": described(code="8"),
    "a code that is a float": described(code=8.0),
    "a code that is a list": described(code=[8]),
    "a code that is missing": described(code=None),
    "a code that is a truth": described(code=True),
    "another code than its weights": described(code=16),
    "an unknown way to normalise": described(normalise="\x1b[2J"),
    "a contrast that is no number": described(min_contrast=float("nan")),
    "an endless contrast": described(min_contrast=float("inf")),
    "a negative contrast": described(min_contrast=-1.0),
    "a contrast that is a text": described(min_contrast="2"),
    # --- What it holds ---
    "another shape": holding(torch.zeros(8, 7)),
    "turned over": holding(torch.zeros(INPUTS, 8)),
    "a number": holding(torch.tensor(1.0)),
    "no rows": holding(torch.zeros(0, INPUTS)),
    "not a number": holding(nan()),
    "whole numbers": holding(torch.zeros(8, INPUTS, dtype=torch.int64)),
    "one tensor more": lambda path: written(path, more=torch.zeros(1)),
    "another name": lambda path: save_file(
        {"weight": torch.zeros(8, INPUTS)}, path, {"autoencoder": json.dumps(asdict(CONFIG))}
    ),
    # --- Something else in its place ---
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a symlink to itself": lambda path: path.symlink_to(path.name),
}


@pytest.fixture
def little_memory() -> Iterator[None]:
    """What asks for 8 GB more than there is now fails, instead of being given it."""
    used = int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("case", CASES)
def test_what_is_no_autoencoder_is_one_line(tmp_path: Path, refused: Refused, case: str) -> None:
    path = tmp_path / "autoencoder.safetensors"
    CASES[case](path)
    with refused(str(path)):
        load_autoencoder(path)


def test_the_one_that_was_written_is_read(tmp_path: Path) -> None:
    """Or the cases above might be refused for what is alike in all of them."""
    path = tmp_path / "autoencoder.safetensors"
    written(path)
    assert load_autoencoder(path).config == CONFIG
