"""Saved states of a training that are damaged, exchanged, or foreign."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from small_states import FACTS, NAME, TENSORS

from dcgan_models.training.checkpoint import (
    STATES,
    load_state,
    save_state,
)


def test_a_damaged_state_gives_way_to_the_one_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        save_state(tmp_path, TENSORS, {"step": step})
    newest = tmp_path / STATES / "step_000000002.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    loaded = load_state(tmp_path)
    assert loaded is not None
    assert loaded[1] == {"step": 1}
    assert str(newest) in caplog.text
    assert "going back to the state before it" in caplog.text


def test_any_flipped_bit_is_noticed(tmp_path: Path, refused: Any) -> None:
    """Every byte of the file: lengths, names, shapes, facts, checksum, numbers."""
    save_state(tmp_path, TENSORS, FACTS)
    path = tmp_path / STATES / NAME
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with refused(str(path), "delete states/ to start anew"):
            load_state(tmp_path)
    path.write_bytes(whole)
    assert load_state(tmp_path) is not None


def test_a_state_cut_short_anywhere_is_noticed(tmp_path: Path, refused: Any) -> None:
    save_state(tmp_path, TENSORS, FACTS)
    path = tmp_path / STATES / NAME
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with refused(str(path), "delete states/ to start anew"):
            load_state(tmp_path)


def test_facts_of_the_header_cannot_be_exchanged(tmp_path: Path, refused: Any) -> None:
    """A header edited by hand, its length right."""
    save_state(tmp_path, TENSORS, FACTS)
    path = tmp_path / STATES / NAME
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"]["facts"] = json.dumps({**FACTS, "step": 13}, sort_keys=True)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
    with refused("its checksum does not fit"):
        load_state(tmp_path)


def test_foreign_files_are_no_state(tmp_path: Path, refused: Any) -> None:
    (tmp_path / STATES).mkdir()
    save_file({"weights": torch.ones(3)}, tmp_path / STATES / NAME)
    with refused("not a training state"):
        load_state(tmp_path)
    (tmp_path / STATES / NAME).write_bytes(b"PK\x03\x04 a pickle in a zip, as torch.save writes")
    with refused("not a whole safetensors file"):
        load_state(tmp_path)
