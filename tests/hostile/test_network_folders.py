"""Folders of published networks: damaged, foreign, or with pickled code in them."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pickle
import resource
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fixture_types import Refused
from safetensors.torch import load_file, save_file
from small_networks import generator, save_generator, small

from dcgan_models.dedup.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    load_autoencoder,
    save_autoencoder,
)
from dcgan_models.errors import UserError
from dcgan_models.metrics.extractor import AutoencoderExtractor, load_extractor, save_extractor
from dcgan_models.networks import (
    Discriminator,
    load_discriminator,
    load_generator,
    load_weights,
    save_network,
    save_snapshot,
)
from dcgan_models.training.checkpoint import load_state, save_state


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_generator(tmp_path / "generator")


Damage = Callable[[Path], Any]

FIRST = "blocks.0.weight.weight"
WEIGHTS, NETWORK, FIXED_Z, FIXED_Y = (
    *("weights.safetensors", "network.json"),
    *("fixed_z.npy", "fixed_y.npy"),
)


# --- What lies in a file's place ----------------------------------------------------------------


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def holding(content: bytes | str) -> Damage:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def sparse(size: int, start: bytes = b"") -> Damage:
    """So many bytes that take no place on the disk."""

    def apply(path: Path) -> None:
        path.write_bytes(start)
        with path.open("r+b") as stream:
            stream.truncate(size)

    return apply


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def listening(path: Path) -> None:
    path.unlink()
    # A socket's name is short.
    with socket.socket(socket.AF_UNIX) as sock, contextlib.chdir(path.parent):
        sock.bind(path.name)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(target: str) -> Damage:
    def apply(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return apply


def link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    link("pipe")(path)


PLACES: dict[str, Damage] = {
    "cut short": cut_short,
    "garbage": holding("this is no file of ours, whatever its name says"),
    "empty": holding(""),
    "zeros": holding(bytes(4096)),
    "a pipe": pipe,
    "a socket": listening,
    "a folder": folder,
    "a link to an endless device": link("/dev/zero"),
    "a link to a pipe": link_to_pipe,
    "a link to itself": lambda path: link(path.name)(path),
    "a link to nothing": link("nowhere"),
    "a picture": holding(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "100 GB": sparse(100 * 2**30),
}
REFUSALS = {
    WEIGHTS: ("not a whole safetensors file", "no such weights file"),
    NETWORK: ("not a network description", "no network here"),
    FIXED_Z: ("not a plain array",),
    FIXED_Y: ("not a plain array",),
}


@pytest.mark.parametrize("damage", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("file", REFUSALS)
def test_what_is_no_such_file_is_refused(saved: Path, file: str, damage: Damage) -> None:
    load_generator(saved)
    damage(saved / file)
    with pytest.raises(UserError) as caught:
        load_generator(saved)
    line = str(caught.value)
    assert str(saved) in line
    assert any(words in line for words in REFUSALS[file])
    assert line.isprintable()


# --- Weights ------------------------------------------------------------------------------------


def edited(change: Callable[[dict[str, torch.Tensor]], Any]) -> Damage:
    def apply(path: Path) -> None:
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
        change(tensors)
        save_file(tensors, path)

    return apply


def headed(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """The header rewritten, its length right."""

    def apply(path: Path) -> None:
        whole = path.read_bytes()
        (length,) = struct.unpack("<Q", whole[:8])
        header = json.loads(whole[8 : 8 + length])
        text = json.dumps(change(header) or header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])

    return apply


def header_of(text: bytes) -> Damage:
    return holding(struct.pack("<Q", len(text)) + text)


def tensor(**facts: Any) -> Damage:
    return headed(lambda header: header[FIRST].update(facts))


def as_type(dtype: torch.dtype) -> Damage:
    return edited(lambda t: t.update({FIRST: t[FIRST].to(dtype)}))


def large_and_sparse(path: Path) -> None:
    """40 GB that take no place, as a header says that fits them."""
    count = 10**10
    facts = {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}
    text = json.dumps({FIRST: facts}).encode()
    sparse(8 + len(text) + 4 * count, struct.pack("<Q", len(text)) + text)(path)


def pickled_by_torch(path: Path) -> None:
    torch.save({name: tensor.clone() for name, tensor in load_file(path).items()}, path)


def zipped(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


WHOLE = "not a whole safetensors file"
BAD_WEIGHTS: dict[str, tuple[Damage, str]] = {
    "missing": (Path.unlink, "no such weights file"),
    "bytes after the last tensor": (lambda p: p.write_bytes(p.read_bytes() + bytes(64)), WHOLE),
    "header of 2**63 bytes": (holding(struct.pack("<Q", 2**63) + b"{}"), "a header of"),
    "header of 90 MB": (sparse(10**8, struct.pack("<Q", 90 * 10**6)), "a header of"),
    "header is a list": (header_of(b"[]"), WHOLE),
    "header is a number": (header_of(b"7"), WHOLE),
    "header is null": (header_of(b"null"), WHOLE),
    "header is no JSON": (header_of(b"{'a': 1}"), WHOLE),
    "header is no UTF-8": (header_of(b'{"\xff": 1}'), WHOLE),
    "header of brackets": (header_of(b'{"a":' * 100_000), WHOLE),
    "header without tensors": (header_of(b"{}"), "is missing"),
    "texts of the header are numbers": (headed(lambda h: h.update(__metadata__={"a": 1})), WHOLE),
    "pickled": (pickled_by_torch, WHOLE),
    "zipped": (zipped, WHOLE),
    "40 GB, sparse": (large_and_sparse, "is missing"),
    "40 GB in a small file": (
        tensor(shape=[10**10], data_offsets=[0, 4 * 10**10]),
        WHOLE,
    ),
    "more numbers than there are integers": (tensor(shape=[2**40, 2**40]), WHOLE),
    "negative shape": (tensor(shape=[-31, -110]), WHOLE),
    "shape of text": (tensor(shape=["31", "110"]), WHOLE),
    "shape is null": (tensor(shape=None), WHOLE),
    "shape of 100,000 ones": (tensor(shape=[31, 110, *[1] * 100_000]), "has shape"),
    "offsets backwards": (tensor(data_offsets=[13640, 0]), WHOLE),
    "negative offsets": (tensor(data_offsets=[-13640, 0]), WHOLE),
    "overlapping tensors": (tensor(data_offsets=[0, 13640]), WHOLE),
    "unknown type": (tensor(dtype="X99"), WHOLE),
    "type is null": (tensor(dtype=None), WHOLE),
    "type that torch lacks": (tensor(dtype="F4"), WHOLE),
    "tensor is null": (headed(lambda h: h.update({FIRST: None})), WHOLE),
    "float64": (as_type(torch.float64), f"{FIRST} is F64, expected F16 or F32"),
    "bfloat16": (as_type(torch.bfloat16), f"{FIRST} is BF16, expected F16 or F32"),
    "integers": (as_type(torch.int64), f"{FIRST} is I64, expected F16 or F32"),
    "bool": (as_type(torch.bool), f"{FIRST} is BOOL, expected F16 or F32"),
    "complex": (as_type(torch.complex64), "numbers of type C64"),
    "8 bits": (as_type(torch.float8_e4m3fn), "numbers of type F8_E4M3"),
    "a tensor is missing": (edited(lambda t: t.pop(FIRST)), f"{FIRST} is missing"),
    "a tensor too many": (edited(lambda t: t.update(x=torch.ones(2))), "unknown tensor x"),
    "100,000 tensors too many": (
        headed(
            lambda h: {
                **h,
                **{
                    f"{n}": {**h[FIRST], "shape": [0], "data_offsets": [0, 0]}
                    for n in range(20_000)
                },
            }
        ),
        "unknown tensor",
    ),
    "a name with a line break and a terminal's commands": (
        edited(lambda t: t.update({"x\n\x1b[2J": torch.ones(2)})),
        r"unknown tensor x\n\x1b[2J",
    ),
    "a name of a megabyte": (
        edited(lambda t: t.update({"x" * 2**20: torch.ones(2)})),
        f"unknown tensor {'x' * 80}",
    ),
    "another shape": (
        edited(lambda t: t.update({FIRST: torch.ones(3, 4)})),
        f"{FIRST} has shape (3, 4), expected (31, 110)",
    ),
    "transposed": (
        edited(lambda t: t.update({FIRST: t[FIRST].T.contiguous()})),
        f"{FIRST} has shape (110, 31), expected (31, 110)",
    ),
    "a single number": (edited(lambda t: t.update({FIRST: torch.ones(())})), "has shape ()"),
    "no numbers": (edited(lambda t: t.update({FIRST: torch.ones(0, 110)})), "has shape (0, 110)"),
    "not a number": (
        edited(lambda t: t[FIRST].__setitem__((2, 5), torch.nan)),
        f"{FIRST} holds values that are not finite",
    ),
    "an infinite weight": (
        edited(lambda t: t[FIRST].__setitem__((2, 5), -torch.inf)),
        f"{FIRST} holds values that are not finite",
    ),
    "an infinite variance": (
        edited(lambda t: t["blocks.1.norm.var"].__setitem__(0, torch.inf)),
        "blocks.1.norm.var holds values that are not finite",
    ),
    "a negative variance": (
        edited(lambda t: t["blocks.1.norm.var"].__setitem__(0, -1)),
        "blocks.1.norm.var holds variances below 0",
    ),
}


@pytest.mark.parametrize(("damage", "words"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights_are_refused(saved: Path, refused: Refused, damage: Damage, words: str) -> None:
    damage(saved / WEIGHTS)
    with refused(str(saved / WEIGHTS), words):
        load_generator(saved)


# --- Descriptions -------------------------------------------------------------------------------


def described(change: Callable[[dict[str, Any]], Any]) -> Damage:
    def apply(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


def preset_with(**changes: Any) -> Damage:
    return described(lambda c: c["preset"].update(changes))


def layer(number: int, side: str = "generator", **changes: Any) -> Damage:
    return described(lambda c: c["preset"][side][number].update(changes))


def rows(*made: dict[str, Any]) -> Damage:
    return preset_with(generator=[{"norm": False, "act": "relu", **row} for row in made])


def text_of(old: str, new: str) -> Damage:
    def apply(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return apply


WIDE = {"op": "dense", "out": 2**20}
ONE_GIGABYTE = {"op": "dense", "out": 300_000}
TO_PICTURE = {"op": "dense", "out": 784, "reshape": [1, 28, 28], "act": "tanh"}
GROWING = {"op": "deconv", "out": 1, "kernel": 64, "stride": 64}
WHOLE_NUMBERS = "a list of 3, each a whole number"
BAD_DESCRIPTIONS: dict[str, tuple[Damage, str]] = {
    "missing": (Path.unlink, "no network here"),
    "null": (holding("null"), "not a network description"),
    "a list": (holding("[]"), "not a network description"),
    "text": (holding('"generator"'), "not a network description"),
    "a number": (holding("7"), "not a network description"),
    "UTF-16": (lambda p: p.write_text(p.read_text(), encoding="utf-16"), "not a network"),
    "a mark at its start": (lambda p: p.write_bytes(b"\xef\xbb\xbf" + p.read_bytes()), "not a net"),
    "bytes that are no text": (
        lambda p: p.write_bytes(p.read_bytes().replace(b"mnist28", b"mnist\xff8")),
        "not a network description",
    ),
    "100,000 brackets": (holding("[" * 100_000), "not a network description"),
    "900 brackets": (holding("[" * 900 + "]" * 900), "nested more than 64 deep"),
    "70 brackets in a preset": (
        preset_with(source=json.loads("[" * 70 + "]" * 70)),
        "nested more than 64 deep",
    ),
    "a number of 5,000 digits": (
        text_of('"z_dim": 100', f'"z_dim": {"9" * 5000}'),
        "not a network",
    ),
    "two megabytes": (lambda p: p.write_text(p.read_text() + " " * 2**21), "larger than 1 MiB"),
    "no role": (described(lambda c: c.pop("role")), "role"),
    "another role": (described(lambda c: c.update(role="discriminator")), "a generator is"),
    "role is null": (described(lambda c: c.update(role=None)), "this is a None"),
    "role of two lines": (described(lambda c: c.update(role="a\nb")), r"this is a a\nb"),
    "no preset": (described(lambda c: c.pop("preset")), "preset"),
    "preset is null": (described(lambda c: c.update(preset=None)), "a mapping is needed"),
    "preset is a list": (described(lambda c: c.update(preset=[])), "a mapping is needed"),
    "preset is a name": (described(lambda c: c.update(preset="mnist28")), "mapping"),
    "a key too many": (preset_with(colour=1), "'colour'"),
    "a key of two lines": (preset_with(**{"a\nb": 1}), "unknown key"),
    "a key is missing": (described(lambda c: c["preset"].pop("image")), "image"),
    "name is empty": (preset_with(name=""), "a name has 1 to 100 characters"),
    "name of a thousand": (preset_with(name="x" * 1000), "a name has 1 to 100 characters"),
    "name is a number": (preset_with(name=7), "name is 7; allowed: text"),
    "name is half a character": (preset_with(name="\ud800"), "not a network description"),
    "name of two lines": (preset_with(name="a\nb", z_dim=0), r"preset a\nb: z_dim is 0"),
    "picture of text": (preset_with(image=[1, "x"]), "image is [1, 'x']"),
    "picture of two numbers": (preset_with(image=[28, 28]), WHOLE_NUMBERS),
    "picture of four numbers": (preset_with(image=[1, 1, 28, 28]), WHOLE_NUMBERS),
    "picture of floats": (preset_with(image=[1.0, 28.0, 28.0]), WHOLE_NUMBERS),
    "picture of truth": (preset_with(image=[True, 28, 28]), WHOLE_NUMBERS),
    "picture is null": (preset_with(image=None), WHOLE_NUMBERS),
    "picture is text": (preset_with(image="1x28x28"), WHOLE_NUMBERS),
    "negative picture": (preset_with(image=[1, -28, -28]), "cannot follow (1, -28, -28)"),
    "enormous picture": (preset_with(image=[1, 10**9, 10**9]), "values between two layers"),
    "no latent": (preset_with(z_dim=0), "z_dim is 0"),
    "negative latent": (preset_with(z_dim=-1), "z_dim is -1"),
    "enormous latent": (preset_with(z_dim=10**12), "z_dim is 1000000000000"),
    "latent beyond 64 bits": (preset_with(z_dim=2**70), "a whole number"),
    "latent of text": (preset_with(z_dim="100"), "z_dim is '100'"),
    "latent is a float": (preset_with(z_dim=100.5), "a whole number"),
    "latent is truth": (preset_with(z_dim=True), "a whole number"),
    "latent is null": (preset_with(z_dim=None), "a whole number"),
    "unknown latent": (preset_with(z_distribution=["uniform"]), "uniform, normal"),
    "negative classes": (preset_with(classes=-1), "classes is -1"),
    "a billion classes": (preset_with(classes=10**9), "classes is 1000000000"),
    "enormous minibatch": (preset_with(batch=2**40), "batch is"),
    "minibatch of one": (preset_with(batch=1), "batch is 1"),
    "epsilon is no number": (preset_with(norm_eps=float("nan")), "norm_eps is nan"),
    "negative epsilon": (preset_with(norm_eps=-1.0), "norm_eps is -1.0"),
    "leak is infinite": (preset_with(leak=float("inf")), "leak is inf"),
    "leak beyond floats": (text_of('"leak": 0.2', '"leak": 1e999'), "leak is inf"),
    "scale is null": (preset_with(affine=None), "true, false"),
    "unknown schedule": (preset_with(schedule="sometimes"), "alternate, both"),
    "no table": (preset_with(generator=None), "generator is None"),
    "table is a mapping": (preset_with(generator={}), "generator is {}"),
    "table is text": (preset_with(generator="dense"), "generator is 'dense'"),
    "empty table": (preset_with(generator=[]), "0 layers"),
    "empty table of D": (preset_with(discriminator=[]), "0 layers"),
    "3,000 layers": (rows(*[{"op": "dense", "out": 8}] * 3000, TO_PICTURE), "3001 layers"),
    "row is null": (preset_with(generator=[None]), "generator layer 1: a mapping is needed"),
    "row is a name": (preset_with(generator=["dense"]), "generator layer 1: a mapping is needed"),
    "row with a key too many": (layer(1, kernal=5), "unknown key 'kernal'"),
    "row without a kind": (described(lambda c: c["preset"]["generator"][1].pop("op")), "`op` is"),
    "row of unknown kind": (layer(1, op="dens"), "op is 'dens'"),
    "row whose kind is a list": (layer(1, op=["dense"]), "op is ['dense']"),
    "row whose activation is null": (layer(1, act=None), "act is None"),
    "row whose norm is a number": (layer(1, norm=1), "norm is 1"),
    "no units": (layer(1, out=0), "out is 0"),
    "negative units": (layer(1, out=-5), "out is -5"),
    "ten billion units": (layer(1, out=10**10), "out is 10000000000"),
    "half a unit": (layer(1, out=0.5), "out is 0.5"),
    "no kernel": (layer(2, kernel=0), "layer 3 (deconv) cannot follow"),
    "another kernel": (layer(2, kernel=3), "generator ends at"),
    "enormous kernel": (layer(2, kernel=10**9), "kernel is 1000000000"),
    "negative kernel": (layer(2, kernel=-5), "kernel is -5"),
    "no stride": (layer(2, stride=0), "stride is 0"),
    "negative stride": (layer(2, stride=-2), "stride is -2"),
    "enormous stride": (layer(2, stride=10**9), "stride is 1000000000"),
    "D's stride is nothing": (layer(0, "discriminator", stride=0), "stride is 0"),
    "negative padding": (layer(2, padding=-1), "padding is -1"),
    "enormous padding": (layer(2, padding=10**9), "padding is 1000000000"),
    "padding above the stride": (layer(2, output_padding=2), "layer 3 (deconv) cannot follow"),
    "reshape of a map": (layer(2, reshape=[1, 28, 28]), "layer 3 (deconv) cannot follow"),
    "reshape to another size": (layer(1, reshape=[1, 2, 3]), "layer 2 (dense) cannot follow"),
    "reshape to nothing": (layer(1, reshape=[0, 0, 0]), "layer 2 (dense) cannot follow"),
    "reshape to negative sides": (layer(1, out=784, reshape=[-1, -28, 28]), "cannot follow"),
    "reshape is text": (layer(1, reshape="abc"), WHOLE_NUMBERS),
    "reshape is a number": (layer(1, reshape=7), WHOLE_NUMBERS),
    "reshape to two sides": (layer(1, reshape=[28, 28]), WHOLE_NUMBERS),
    "G draws no picture": (layer(3, out=3), "generator ends at"),
    "D ends at two units": (layer(3, "discriminator", out=2), "not one unit"),
    "4 TB of weights": (rows(WIDE, WIDE, TO_PICTURE), "weights; allowed are up to"),
    "40 GB of weights": (
        rows({"op": "dense", "out": 100_000}, {"op": "dense", "out": 100_000}, TO_PICTURE),
        "weights; allowed are up to",
    ),
    "a gigabyte of weights": (
        preset_with(generator=[ONE_GIGABYTE, TO_PICTURE], classes=0),
        "unknown tensor blocks.0.norm.mean",
    ),
    "maps that grow without end": (
        rows(GROWING, GROWING, GROWING, GROWING, TO_PICTURE),
        "values between two layers",
    ),
    "planes of labels": (preset_with(classes=60_000), "values between two layers"),
}


@pytest.mark.parametrize(("damage", "words"), BAD_DESCRIPTIONS.values(), ids=BAD_DESCRIPTIONS)
def test_bad_descriptions_are_refused(
    saved: Path, refused: Refused, damage: Damage, words: str
) -> None:
    damage(saved / NETWORK)
    with refused(str(saved), words):
        load_generator(saved)


def test_nothing_of_the_size_described_is_made_before_the_header_is_read(
    saved: Path, refused: Refused
) -> None:
    """A description within all bounds, and weights that are not of it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    preset_with(generator=[ONE_GIGABYTE, TO_PICTURE], classes=0)(saved / NETWORK)
    with refused("not the weights of preset mnist28"):
        load_generator(saved)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1024 if sys.platform == "linux" else 1) < 2**29


# --- Fixed latents ------------------------------------------------------------------------------


def array(content: npt.NDArray[Any]) -> Damage:
    return lambda path: np.save(path, content)


def array_header(text: str, body: bytes = bytes(8000)) -> Damage:
    """A file of format 1.0 whose header is this text."""
    header = text.encode() + b"\n"
    return holding(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body)


def shaped(shape: str, descr: str = "'<f4'") -> Damage:
    return array_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}")


def archived(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, z=np.zeros((20, 100), np.float32))


Z = np.zeros((20, 100), np.float32)
BAD_ARRAYS: dict[str, tuple[str, Damage, str]] = {
    "z of another width": (FIXED_Z, array(Z[:, :99]), "float32 (n, 100)"),
    "z in double precision": (FIXED_Z, array(Z.astype(np.float64)), "float32 (n, 100)"),
    "z of the other byte order": (FIXED_Z, array(Z.astype(">f4")), "float32 (n, 100)"),
    "z of integers": (FIXED_Z, array(Z.astype(np.int32)), "float32 (n, 100)"),
    "z of complex numbers": (FIXED_Z, array(Z.astype(np.complex64)), "float32 (n, 100)"),
    "z of text": (FIXED_Z, array(np.full((20, 100), "x")), "float32 (n, 100)"),
    "z of records": (FIXED_Z, array(np.zeros((20, 100), "f4,f4")), "float32 (n, 100)"),
    "z of objects": (FIXED_Z, shaped("(20, 100)", "'|O'"), "not a plain array"),
    "z of not a number": (FIXED_Z, array(Z * np.nan), "not finite"),
    "z of infinity": (FIXED_Z, array(Z + np.inf), "not finite"),
    "no z": (FIXED_Z, array(Z[:0]), "n from 1 to"),
    "one z, flat": (FIXED_Z, array(Z[0]), "float32 (n, 100)"),
    "a single number": (FIXED_Z, array(np.float32(1)), "float32 (n, 100)"),
    "a hundred thousand z": (FIXED_Z, array(np.zeros((100_000, 100), np.float32)), "n from 1 to"),
    "z of 40 GB in a small file": (FIXED_Z, shaped("(100000000, 100)"), "not a plain array"),
    "z of 2**80": (FIXED_Z, shaped("(1099511627776, 1099511627776)"), "not a plain array"),
    "z of negative shape": (FIXED_Z, shaped("(-1, 100)"), "not a plain array"),
    "z whose shape is text": (FIXED_Z, shaped("'20'"), "not a plain array"),
    "z whose shape is a list": (FIXED_Z, shaped("[20, 100]"), "not a plain array"),
    "z whose shape is of floats": (FIXED_Z, shaped("(20.0, 100)"), "not a plain array"),
    "z of unknown type": (FIXED_Z, shaped("(20, 100)", "'<x9'"), "not a plain array"),
    "z whose type is null": (FIXED_Z, shaped("(20, 100)", "[[[]]]"), "not a plain array"),
    "header of brackets": (FIXED_Z, array_header("(" * 9000), "not a plain array"),
    "header that is no literal": (FIXED_Z, array_header("__import__('os')"), "not a plain array"),
    "header with an open string": (FIXED_Z, array_header("{'descr': '''"), "not a plain array"),
    "header of 60,000 bytes": (FIXED_Z, array_header("{" + " " * 60_000), "not a plain array"),
    "format 9": (FIXED_Z, holding(b"\x93NUMPY\x09\x00" + bytes(200)), "not a plain array"),
    "an archive of arrays": (FIXED_Z, archived, "not a plain array"),
    "labels are missing": (FIXED_Y, Path.unlink, "not a plain array"),
    "labels in a column": (FIXED_Y, array(np.zeros((20, 1), np.int64)), "int64 (n)"),
    "labels of half the size": (FIXED_Y, array(np.zeros(20, np.int32)), "int64 (n)"),
    "labels are floats": (FIXED_Y, array(np.zeros(20)), "int64 (n)"),
    "a label too few": (FIXED_Y, array(np.zeros(19, np.int64)), "20 labels from 0 to 9"),
    "a label too many": (FIXED_Y, array(np.zeros(21, np.int64)), "20 labels from 0 to 9"),
    "a label above the last": (FIXED_Y, array(np.full(20, 10)), "20 labels from 0 to 9"),
    "a negative label": (FIXED_Y, array(np.full(20, -1)), "20 labels from 0 to 9"),
}


@pytest.mark.parametrize(("file", "damage", "words"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_latents_are_refused(
    saved: Path, refused: Refused, file: str, damage: Damage, words: str
) -> None:
    damage(saved / file)
    with refused(str(saved / file), words):
        load_generator(saved)


# --- Every other file that holds weights --------------------------------------------------------


def save_discriminator(folder: Path) -> Path:
    save_network(Discriminator(small("mnist28")), folder)
    return folder / WEIGHTS


def save_features(folder: Path) -> Path:
    save_extractor(AutoencoderExtractor(Autoencoder(AutoencoderConfig()), 1.0), folder)
    return folder / WEIGHTS


def save_code(folder: Path) -> Path:
    folder.mkdir()
    save_autoencoder(Autoencoder(AutoencoderConfig()), folder / WEIGHTS)
    return folder / WEIGHTS


def save_training(folder: Path) -> Path:
    folder.mkdir()
    save_state(folder, {"x": torch.ones(3)}, {"step": 1})
    return folder / "states" / "step_000000001.safetensors"


def described_by(save: Callable[[Path], Path], name: str) -> Callable[[Path], Path]:
    return lambda folder: save(folder).with_name(name)


LOADERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "discriminator": (save_discriminator, load_discriminator),
    "its description": (described_by(save_discriminator, NETWORK), load_discriminator),
    "extractor": (save_features, load_extractor),
    "its description ": (described_by(save_features, "extractor.json"), load_extractor),
    "autoencoder": (save_code, lambda folder: load_autoencoder(folder / WEIGHTS)),
    "saved state": (save_training, load_state),
}


@pytest.mark.parametrize("damage", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(("save", "load"), LOADERS.values(), ids=LOADERS)
def test_no_loader_waits_or_asks_for_memory(
    tmp_path: Path,
    refused: Refused,
    save: Callable[[Path], Path],
    load: Callable[[Path], Any],
    damage: Damage,
) -> None:
    path = save(tmp_path / "folder")
    assert load(tmp_path / "folder") is not None
    damage(path)
    with refused(str(tmp_path / "folder")):
        load(tmp_path / "folder")


@pytest.mark.parametrize(
    "changes",
    [
        *({"code": value} for value in (0, -8, 2**40, 8.0, "128", None, True)),
        *({"normalise": value} for value in ("all", ["picture"], None)),
        *({"min_contrast": value} for value in (0, -1.0, float("nan"), "2")),
        *({"max_updates": value} for value in (0, 1.5, "1")),
        *({"shift": value} for value in (float("inf"), 17, None)),
    ],
    ids=str,
)
def test_an_autoencoder_of_wrong_settings_is_refused(
    tmp_path: Path, refused: Refused, changes: dict[str, Any]
) -> None:
    path = save_code(tmp_path / "folder")
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    settings = json.dumps({**asdict(AutoencoderConfig()), **changes})
    save_file(tensors, path, metadata={"autoencoder": settings})
    with refused(str(path), f"{next(iter(changes))} is"):
        load_autoencoder(path)


@pytest.mark.parametrize(
    "changes",
    [
        *({"kind": value} for value in ("../x", None, ["autoencoder"], "random", "classifier")),
        *({"scale": value} for value in (0.0, -1.0, float("inf"), float("nan"), "2", 2, None)),
        *({"fingerprint": value} for value in (None, 7, "0" * 12, "x" * 2**20)),
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_an_extractor_of_a_wrong_description_is_refused(
    tmp_path: Path, refused: Refused, changes: dict[str, Any]
) -> None:
    path = save_features(tmp_path / "folder").with_name("extractor.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with refused(str(path.parent)):
        load_extractor(path.parent)


# --- Whole networks of somebody else ------------------------------------------------------------


def test_weights_of_another_preset_are_refused(saved: Path, refused: Any) -> None:
    save_snapshot(generator("mnist28_fc"), saved / "weights.safetensors")
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
