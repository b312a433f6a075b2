"""Features against activations caught in D's own forward pass and pooled by hand."""

from __future__ import annotations

import math
import re
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from checkout import CHECKOUT
from fixture_types import Refused, WritePictures
from torch import Tensor

from dcgan_models.classification.features import (
    FeatureSummary,
    feature_blocks,
    feature_columns,
    feature_count,
    feature_layers,
)
from dcgan_models.data import PixelStore
from dcgan_models.networks import (
    Block,
    Discriminator,
    fix_statistics,
    from_pixels,
    initialise,
)
from dcgan_models.pixels import Pixels
from dcgan_models.presets import Layer, preset

Features = npt.NDArray[np.float16]
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.cuda,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ],
    ),
]


def pictures(seed: int, n: int, *, size: int = 32, channels: int = 3) -> Pixels:
    shape = (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def discriminator(name: str, *, statistics: bool = True) -> Discriminator:
    network = Discriminator(preset(name).with_overrides(width=0.05))
    initialise(network, torch.Generator().manual_seed(1))
    with torch.no_grad():
        # Lively weights: at N(0, 0.02) deeper maps hardly depend on the picture.
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.mul_(5)
    if statistics:
        size = network.preset.image[1]
        fix_statistics(network, pictures(2, 64, size=size), batch=32)
    return network


def computed(network: Discriminator, shown: Any, **settings: Any) -> Features:
    return np.concatenate(list(feature_blocks(network, shown, **settings)))


def by_hand(network: Discriminator, shown: Pixels) -> npt.NDArray[np.float32]:
    """The authors' recipe on activations caught by hooks."""
    caught: list[Tensor] = []
    rows = zip(network.preset.discriminator[:-1], network.blocks, strict=False)
    handles = [
        block.register_forward_hook(lambda _m, _i, out: caught.append(out.clone()))
        for layer, block in rows
        if layer.op == "conv"
    ]
    with torch.no_grad():
        network(from_pixels(torch.from_numpy(shown), network.preset))
    for handle in handles:
        handle.remove()
    parts = []
    for maps in (out.numpy() for out in caught):
        n, channels, height, width = maps.shape
        cells = maps.reshape(n, channels, 4, height // 4, 4, width // 4).max(axis=(3, 5))
        parts.append(cells.reshape(n, -1))
    return np.concatenate(parts, axis=1)


# --- Which features there are -----------------------------------------------------------------


def test_the_paper_counts() -> None:
    """28,672 and 7,168, from the channels of the authors' weights and 4x4 places of each."""
    assert feature_count(preset("imagenet32")) == (128 + 128 + 256 + 256 + 512 + 512) * 16 == 28_672
    assert feature_count(preset("svhn32")) == (64 + 128 + 256) * 16 == 7_168
    pools = [layer.pool for layer in feature_layers(preset("imagenet32"))]
    assert pools == [(8, 8), (4, 4), (4, 4), (2, 2), (2, 2), (1, 1)]


def test_the_output_unit_is_no_feature_even_where_it_is_a_convolution() -> None:
    layers = feature_layers(preset("torch64"))
    assert [(layer.number, layer.channels) for layer in layers] == [
        (1, 64),
        (2, 128),
        (3, 256),
        (4, 512),
    ]


@pytest.mark.parametrize("name", ["imagenet32", "svhn32"])
def test_columns_say_where_numpy_puts_a_place(name: str) -> None:
    chosen = preset(name)
    columns = feature_columns(chosen)
    assert columns["column"].to_pylist() == list(range(feature_count(chosen)))
    rows = columns.to_pylist()
    first = 0
    for number, layer in enumerate(chosen.discriminator[:-1], 1):
        numbers = first + np.arange(layer.out * 16).reshape(layer.out, 4, 4)
        for place in ((0, 0, 0), (0, 0, 3), (0, 2, 1), (layer.out - 1, 3, 2)):
            assert rows[numbers[place]] == {
                "column": numbers[place],
                "layer": number,
                "channel": place[0],
                "cell_row": place[1],
                "cell_column": place[2],
            }
        first += numbers.size
    assert first == len(rows)


# --- Their values -----------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["imagenet32", "svhn32", "torch64"])
def test_features_are_those_pooled_by_hand(name: str, device: str) -> None:
    network = discriminator(name)
    shown = pictures(3, 11, size=network.preset.image[1])
    expected = by_hand(network, shown)
    blocks = list(feature_blocks(network.to(device), shown, batch=4))
    assert [(block.dtype, block.shape) for block in blocks] == [
        (np.float16, (n, feature_count(network.preset))) for n in (4, 4, 3)
    ]
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=2e-3, atol=2e-3)
    assert expected.std() > 0.3


def test_256_pictures_are_computed_at_once_where_nothing_is_said() -> None:
    blocks = feature_blocks(discriminator("svhn32"), pictures(3, 260))
    assert [len(block) for block in blocks] == [256, 4]


def test_a_picture_has_the_same_features_in_any_company() -> None:
    network, shown = discriminator("svhn32"), pictures(4, 9)
    alone = np.concatenate([computed(network, shown[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(computed(network, shown, batch=4), alone, rtol=2e-3, atol=1e-3)


def test_a_store_is_read_batch_by_batch(
    tmp_path: Path, write_pictures: WritePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, shown = discriminator("svhn32"), pictures(5, 10)
    store = PixelStore.open(write_pictures(tmp_path, shown, shards=3))
    asked: list[int] = []
    gather = PixelStore.gather

    def noted(store: PixelStore, rows: npt.ArrayLike) -> Pixels:
        asked.append(len(np.asarray(rows)))
        return gather(store, rows)

    monkeypatch.setattr(PixelStore, "gather", noted)
    np.testing.assert_array_equal(
        computed(network, store, batch=4), computed(network, shown, batch=4)
    )
    assert asked == [4, 4, 2]


def test_the_statistics_are_those_of_the_pictures_they_were_fixed_on() -> None:
    """Darker training pictures, other statistics: the first layer has none and stays."""
    network, shown = discriminator("svhn32"), pictures(6, 4)
    before = computed(network, shown)
    fix_statistics(network, pictures(2, 64) // 4, batch=32)
    after = computed(network, shown)
    stop = feature_layers(network.preset)[0].stop
    np.testing.assert_array_equal(before[:, :stop], after[:, :stop])
    assert np.abs(before[:, stop:] - after[:, stop:]).mean() > 0.05


def test_bfloat16_is_close_to_float32_and_not_the_same() -> None:
    network, shown = discriminator("imagenet32"), pictures(7, 6)
    full = computed(network, shown).astype(np.float64)
    low = computed(network, shown, precision=torch.bfloat16).astype(np.float64)
    assert 0 < np.abs(full - low).mean() < 0.02 * np.abs(full).mean()


def test_no_map_lives_longer_than_the_next_layer_needs_it() -> None:
    network = discriminator("imagenet32")
    maps: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def note(_module: Any, _inputs: Any, out: Tensor) -> None:
        alive.append(sum(seen() is not None for seen in maps))
        maps.append(weakref.ref(out))

    for block in network.blocks:
        block.register_forward_hook(note)
    computed(network, pictures(8, 4), batch=2)
    # Two batches of six layers: the output unit is not computed at all.
    assert len(alive) == 12
    assert max(alive) <= 1


# --- What is refused --------------------------------------------------------------------------


def test_presets_without_such_features_are_refused(refused: Refused) -> None:
    with refused("mnist28 is conditional"):
        feature_count(preset("mnist28"))
    with refused("mnist28_fc", "no convolution"):
        feature_count(replace(preset("mnist28_fc"), classes=0))
    with refused("mnist28", "layer 1 has maps of 14x14", "divide by 4"):
        feature_count(replace(preset("mnist28"), classes=0))
    wide = (Layer("conv", 4, 3, 2, 1, act="lrelu"), Layer("dense", 1))
    with refused("svhn32", "layer 1 has maps of 16x18"):
        feature_count(replace(preset("svhn32"), image=(3, 32, 36), discriminator=wide))


def test_discriminators_and_pictures_that_do_not_fit_are_refused_at_once(refused: Refused) -> None:
    with refused("no statistics"):
        feature_blocks(discriminator("svhn32", statistics=False), pictures(9, 4))
    network = discriminator("svhn32")
    for bad in (pictures(9, 4, size=64), pictures(9, 4, channels=1), pictures(9, 0)):
        with refused("svhn32 needs uint8 (n, 32, 32, 3)", str(bad.shape)):
            feature_blocks(network, bad)
    with refused("mnist28 is conditional"):
        feature_blocks(Discriminator(preset("mnist28")), pictures(9, 4, size=28, channels=1))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("value", "word"), [(math.nan, "nan"), (1e9, "inf")])
def test_features_that_are_not_finite_are_refused(
    refused: Refused, value: float, word: str, device: str
) -> None:
    """A weight of the second layer's channel 1 is bad; the message says picture and place."""
    network = discriminator("svhn32")
    scale = network.blocks[1].get_parameter("norm.weight")
    with torch.no_grad():
        scale[1] = value
    column = feature_layers(network.preset)[1].start + 16
    blocks = feature_blocks(network.to(device), pictures(10, 3), batch=2)
    with refused("picture 0", f"{column} (layer 2, channel 1)", word, "float16"):
        list(blocks)


def test_the_bad_picture_is_counted_over_all_batches(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = discriminator("svhn32")
    shown = np.full((7, 32, 32, 3), 127, np.uint8)
    shown[5] = 255
    forward = Block.forward

    def overflowing(block: Block, x: Tensor, condition: Tensor | None) -> Tensor:
        return forward(block, torch.where(x > 0.9, torch.inf, x), condition)

    monkeypatch.setattr(Block, "forward", overflowing)
    blocks = feature_blocks(network, shown, batch=2)
    seen = []
    with refused("picture 5"):
        seen += [len(block) for block in blocks]
    assert seen == []  # the list was not complete
    done = feature_blocks(network, shown, batch=2)
    assert [len(next(done)) for _ in range(2)] == [2, 2]


# --- Summaries --------------------------------------------------------------------------------


def made_up(n: int) -> tuple[FeatureSummary, Features]:
    chosen = preset("svhn32").with_overrides(width=0.05)
    features = np.random.default_rng(11).normal(3, 2, (n, feature_count(chosen)))
    return FeatureSummary(chosen), features.astype(np.float16)


def test_a_summary_is_numpys_over_all_blocks() -> None:
    summary, features = made_up(101)
    features[:, :48] = -np.abs(features[:, :48])
    features[7, 16] = 0.5
    for low, high in ((0, 1), (1, 40), (40, 101)):
        summary.add(features[low:high])
    wide = features.astype(np.float64)
    assert summary.count == 101
    np.testing.assert_array_equal(summary.low, wide.min(axis=0))
    np.testing.assert_array_equal(summary.high, wide.max(axis=0))
    np.testing.assert_allclose(summary.mean, wide.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(summary.var, wide.var(axis=0), rtol=1e-4)
    layers = summary.layers()
    assert [layer.channels for layer in layers] == [3, 6, 13]
    for layer, part in zip(layers, np.split(wide, [48, 144], axis=1), strict=True):
        assert layer.mean == pytest.approx(part.mean(), rel=1e-5)
        assert layer.std == pytest.approx(part.std(), rel=1e-4)
        assert layer.positive == pytest.approx((part > 0).mean(), rel=1e-9)
    assert layers[0].dead == (0, 2)
    assert layers[1].dead == ()
    assert summary.constant_columns() == []
    summary.check()


def test_a_summary_of_one_picture() -> None:
    """A zero is no positive feature, and a channel of zeros is dead: 2 in one of 48 columns."""
    summary, features = made_up(1)
    features[:] = 0
    features[0, 16] = 2
    summary.add(features)
    first = summary.layers()[0]
    assert (first.layer, first.channels, first.dead) == (1, 3, (0, 2))
    assert first.mean == pytest.approx(2 / 48)
    assert first.std == pytest.approx(math.sqrt(4 / 48 - (2 / 48) ** 2))
    assert first.positive == pytest.approx(1 / 48)


def test_a_summary_of_no_picture_has_no_positive_features() -> None:
    assert [layer.positive for layer in made_up(1)[0].layers()] == [0, 0, 0]


@pytest.mark.parametrize(("count", "more"), [(5, "; "), (6, " and 1 more; ")])
def test_five_columns_are_named_at_most(refused: Refused, count: int, more: str) -> None:
    summary, features = made_up(9)
    features[:, :count] = 0
    summary.add(features)
    words = [f"{column} (layer 1, channel 0)" for column in range(5)]
    with refused(f"{', '.join(words)}{more}"):
        summary.check()


def test_constant_columns_are_named(refused: Refused) -> None:
    summary, features = made_up(20)
    planted = [0, 47, 48, 90, 91, 200, 351]
    features[:, planted] = 1.5
    for part in np.array_split(features, 3):
        summary.add(part)
    assert summary.constant_columns() == planted
    named = ("0 (layer 1, channel 0)", "47 (layer 1, channel 2)", "48 (layer 2, channel 0)")
    with refused("7 of 352 columns are constant over 20 pictures", *named, "and 2 more"):
        summary.check()


def test_a_column_that_is_constant_in_each_block_alone_is_not_constant() -> None:
    summary, features = made_up(20)
    features[:10, 3], features[10:, 3] = 1, 2
    summary.add(features[:10])
    summary.add(features[10:])
    assert summary.constant_columns() == []


def test_the_table_of_columns_in_the_docs_is_derived_from_the_preset() -> None:
    page = CHECKOUT / "docs" / "features.md"
    rows = re.findall(
        r"^\| (\d), 3x3.*\| (\d+) of (\d+)x\3 \| (\d)x\4 \| ([\d,]+) \|$",
        page.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    written = [tuple(int(value.replace(",", "")) for value in row) for row in rows]
    wanted = preset("imagenet32")
    sides = [shape[1] for shape in wanted.discriminator_shapes()[1:-1]]
    assert written == [
        (layer.number, layer.channels, side, layer.pool[0], layer.stop - layer.start)
        for layer, side in zip(feature_layers(wanted), sides, strict=True)
    ]
    assert sum(row[-1] for row in written) == feature_count(wanted) == 28_672
