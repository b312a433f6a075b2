"""Views of feature tables: planted dead channels, planted neighbours, and SciPy's distances."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from checkout import CHECKOUT
from fixture_types import Refused
from scipy.spatial.distance import cdist, pdist
from torch import nn

from dcgan_models.classification.feature_table import FeatureTable, write_feature_table
from dcgan_models.classification.feature_views import (
    FeatureNeighbours,
    feature_neighbours,
    first_of_each_class,
    layer_views,
)
from dcgan_models.classification.features import (
    FeatureSummary,
    feature_blocks,
    feature_columns,
    feature_count,
    feature_layers,
)
from dcgan_models.networks import Discriminator, fix_statistics, from_pixels, initialise
from dcgan_models.presets import preset

Features = npt.NDArray[np.float16]
NARROW = preset("svhn32").with_overrides(width=0.05)


def made_up(n: int, seed: int = 0) -> Features:
    """Features of `NARROW`, of which a third is above zero."""
    values = np.random.default_rng(seed).normal(-0.4, 1, (n, feature_count(NARROW)))
    return np.where(values < 0, values / 5, values).astype(np.float16)


def table_of(
    folder: Path,
    features: Features,
    labels: npt.ArrayLike | None = None,
    batch_bytes: int = 40 * 704,
) -> FeatureTable:
    """A table in record batches of 40 rows, unless told."""
    n = len(features)
    write_feature_table(
        folder,
        feature_columns(NARROW),
        [features],
        keys=[str(row) for row in range(n)],
        labels=np.arange(n) % 3 if labels is None else np.asarray(labels, np.int64),
        splits=["train"] * n,
        batch_bytes=batch_bytes,
    )
    return FeatureTable.open(folder)


def summary_of(table: FeatureTable) -> FeatureSummary:
    """Gathered a record batch at a time, as while features are computed."""
    summary = FeatureSummary(NARROW)
    for part in table.parts:
        summary.add(np.array(part))
    return summary


# --- Activations ------------------------------------------------------------------------------


def test_statistics_of_each_layer_are_numpys(tmp_path: Path) -> None:
    features = made_up(90)
    features[:, 48:144] *= 3
    table = table_of(tmp_path, features)
    assert len(table.parts) == 3
    views = layer_views(summary_of(table), NARROW)
    assert [view.summary.layer for view in views] == [1, 2, 3]
    wide = features.astype(np.float64)
    whole = wide.var(axis=0).sum()
    for view, layer in zip(views, feature_layers(NARROW), strict=True):
        part = wide[:, layer.start : layer.stop]
        assert view.record() == {
            "layer": layer.number,
            "channels": layer.channels,
            "mean": pytest.approx(part.mean(), rel=1e-5),
            "std": pytest.approx(part.std(), rel=1e-4),
            "highest": part.max(),
            "negative_share": pytest.approx((part <= 0).mean()),
            "dead_channels": 0,
            "constant_columns": 0,
            "distance_share": pytest.approx(part.var(axis=0).sum() / whole, rel=1e-4),
        }
    assert sum(view.distance_share for view in views) == pytest.approx(1)


def test_the_distance_share_is_that_of_the_squared_distances(tmp_path: Path) -> None:
    features = made_up(60)
    features[:, :48] *= 4
    views = layer_views(summary_of(table_of(tmp_path, features)), NARROW)
    whole = (pdist(features.astype(np.float64)) ** 2).sum()
    first = (pdist(features[:, :48].astype(np.float64)) ** 2).sum()
    assert views[0].distance_share == pytest.approx(first / whole, rel=1e-4)


def test_planted_dead_channels_and_constant_columns(tmp_path: Path) -> None:
    """Dead means never above zero; a channel that fires once, in one cell, is not dead."""
    features = made_up(90)
    layer = feature_layers(NARROW)[1]
    cells = [slice(layer.start + 16 * channel, layer.start + 16 * (channel + 1))
             for channel in range(layer.channels)]  # fmt: skip
    for channel in (1, 4):
        features[:, cells[channel]] = -np.abs(features[:, cells[channel]])
    features[77, layer.start + 16 * 4 + 9] = 2.0**-24  # the smallest float16 above zero
    features[:, cells[2]] = 0
    features[:, layer.start] = 7
    first, second, third = layer_views(summary_of(table_of(tmp_path, features)), NARROW)
    assert (first.summary.dead, second.summary.dead, third.summary.dead) == ((), (1, 2), ())
    assert second.record()["dead_channels"] == 2
    assert [view.constant for view in (first, second, third)] == [0, 17, 0]


def test_a_channel_is_dead_just_where_the_network_never_fires(tmp_path: Path) -> None:
    """The definition, against activations before LeakyReLU that are caught in D itself."""
    network = Discriminator(NARROW)
    initialise(network, torch.Generator().manual_seed(1))
    shown = np.random.default_rng(2).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    fix_statistics(network, shown, batch=32)
    with torch.no_grad():
        block = network.blocks[1]
        block.get_parameter("norm.weight")[2] = 0.01
        block.get_parameter("norm.bias")[2] = -5.0
    caught: list[torch.Tensor] = []
    leaky = [module for module in network.modules() if isinstance(module, nn.LeakyReLU)]
    norm = dict(block.named_modules())["norm"]
    handle = norm.register_forward_hook(lambda _m, _i, out: caught.append(out.clone()))
    with torch.no_grad():
        network.eval()
        network(from_pixels(torch.from_numpy(shown), NARROW))
    handle.remove()
    never = [c for c in range(6) if not (caught[0][:, c] > 0).any()]
    assert never == [2]
    assert all(module.negative_slope == 0.2 for module in leaky)
    table = table_of(tmp_path, np.concatenate(list(feature_blocks(network, shown))))
    views = layer_views(summary_of(table), NARROW)
    assert [list(view.summary.dead) for view in views] == [[], never, []]
    # It still tells pictures apart, as a channel of ReLU would not.
    assert views[1].constant == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(
    tmp_path: Path, refused: Refused, value: float
) -> None:
    features = made_up(50)
    features[44, 50] = value
    table = table_of(tmp_path, features)
    with refused("feature 50 (layer 2, channel 0) is not finite"):
        layer_views(summary_of(table), NARROW)
    with refused("finite features are needed" if np.isnan(value) else "not finite"):
        feature_neighbours(table, [0], np.arange(1, 50), 3)


# --- Neighbours -------------------------------------------------------------------------------


@pytest.mark.parametrize("within", [False, True])
def test_neighbours_are_scipys(tmp_path: Path, within: bool) -> None:
    features = made_up(300)
    table = table_of(tmp_path, features)
    queries = [7, 299, 150]
    references = np.setdiff1d(np.arange(0, 300, 1 if within else 2), [] if within else queries)
    found = feature_neighbours(table, queries, references[::-1], 9)
    wide = features.astype(np.float64)
    distances = cdist(wide[queries], wide[references])
    distances[np.array(queries)[:, None] == references] = np.inf
    order = np.argsort(distances, axis=1)[:, :9]
    np.testing.assert_array_equal(found.rows, references[order])
    scale = np.median(pdist(wide))
    np.testing.assert_allclose(
        found.distances, np.take_along_axis(distances, order, 1) / scale, rtol=0.01
    )
    assert (np.diff(found.distances, axis=1) >= 0).all()
    np.testing.assert_array_equal(found.queries, queries)


def test_planted_neighbours_are_found(tmp_path: Path) -> None:
    """Copies, and copies with a little added, among pictures that have nothing to do with them."""
    features = made_up(300)
    rng = np.random.default_rng(3)
    for rank, row in enumerate((250, 41, 120)):
        noise = 0.02 * rank * rng.normal(size=features.shape[1])
        features[row] = (features[10] + noise).astype(np.float16)
    found = feature_neighbours(table_of(tmp_path, features), [10], np.arange(300), 4)
    assert found.rows[0, :3].tolist() == [250, 41, 120]
    assert found.distances[0, 0] == 0
    assert 0 < found.distances[0, 1] < found.distances[0, 2] < 0.1
    assert 0.8 < found.distances[0, 3] < 1.2


def test_a_query_is_not_its_own_neighbour_even_among_copies(tmp_path: Path) -> None:
    """Five pictures are the same: the search finds four other ones before the last."""
    features = made_up(100)
    features[[1, 2, 3, 90]] = features[4]
    found = feature_neighbours(table_of(tmp_path, features), [90, 1], np.arange(100), 3)
    assert found.rows.tolist() == [[1, 2, 3], [2, 3, 4]]
    assert (found.distances == 0).all()


def test_shares_of_the_querys_class_beside_chance(tmp_path: Path) -> None:
    """30 pictures of class 0 lie together; classes 1 and 2 are mixed; some have no label."""
    features = made_up(120)
    labels = np.repeat([0, 1, 2, -1], 30)
    features[:30] = features[0] + (made_up(30, 5) * np.float16(0.1))
    table = table_of(tmp_path, features, labels)
    found = feature_neighbours(table, [3, 35, 100], np.arange(120), 10)
    assert found.own_class[0] == 1
    assert found.chance[0] == pytest.approx(29 / 119)
    expected = [(labels[rows] == 1).mean() for rows in found.rows[1:2]]
    assert found.own_class[1] == pytest.approx(expected[0])
    assert np.isnan([found.own_class[2], found.chance[2]]).all()
    shares = found.class_shares()
    assert shares == pytest.approx(((1 + expected[0]) / 2, 29 / 119))
    # Queries that are not among the references take none of their class away.
    apart = feature_neighbours(table, [3], np.arange(10, 120), 5)
    assert apart.chance[0] == pytest.approx(20 / 110)
    assert feature_neighbours(table, [100], np.arange(90), 5).class_shares() is None


def test_chance_is_what_random_labels_give(tmp_path: Path) -> None:
    """Where labels have nothing to do with features, the share is chance, but for the draw."""
    labels = np.random.default_rng(4).permutation(np.repeat([0, 1, 2], [360, 180, 60]))
    table = table_of(tmp_path, made_up(600), labels)
    shares = feature_neighbours(table, np.arange(600), np.arange(600), 20).class_shares()
    assert shares is not None
    # The binomial error of 12,000 neighbours is 0.5%; they are not quite independent.
    assert shares[0] == pytest.approx(shares[1], abs=0.03)
    assert shares[1] == pytest.approx((360 * 359 + 180 * 179 + 60 * 59) / 600 / 599)


def test_the_cutting_of_the_table_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = made_up(200)

    def found(batch_bytes: int) -> FeatureNeighbours:
        table = table_of(tmp_path, features, batch_bytes=batch_bytes)
        return feature_neighbours(table, [5, 60], np.arange(200), 6)

    whole = found(1 << 30)
    monkeypatch.setattr("dcgan_models.classification.feature_views._BLOCK_BYTES", 7 * 4 * 352)
    cut = found(13 * 704)
    np.testing.assert_array_equal(cut.rows, whole.rows)
    np.testing.assert_array_equal(cut.distances, whole.distances)


def test_first_of_each_class(tmp_path: Path) -> None:
    table = table_of(tmp_path, made_up(8), [2, -1, 0, 2, 0, 5, -1, 5])
    assert first_of_each_class(table, np.arange(8)).tolist() == [2, 0, 5]
    assert first_of_each_class(table, [7, 6, 5, 4, 3]).tolist() == [4, 3, 7]


def test_what_cannot_be_searched_is_refused(tmp_path: Path, refused: Refused) -> None:
    table = table_of(tmp_path, made_up(20))
    for queries, references, k in (
        ([], np.arange(20), 3),
        ([0], np.arange(20), 20),
        ([0], np.arange(20), 0),
        ([0], np.arange(1, 20), 20),
        ([0], [], 1),
    ):
        with refused("neighbours of"):
            feature_neighbours(table, queries, references, k)
    assert feature_neighbours(table, [0], np.arange(20), 19).rows.shape == (1, 19)
    with pytest.raises(ValueError, match="twice"):
        feature_neighbours(table, [0], [1, 2, 3, 2], 1)
    for wrong in ([20], [-1]):
        with pytest.raises(IndexError):
            feature_neighbours(table, wrong, np.arange(5), 2)
        with pytest.raises(IndexError):
            feature_neighbours(table, [0], [*wrong, 1, 2], 2)
    alike = table_of(tmp_path, np.ones((20, 352), np.float16))
    with refused("median distance"):
        feature_neighbours(alike, [0], np.arange(20), 2)


_BOUNDED = """
import resource, sys
import numpy as np
from pathlib import Path
from dcgan_models.classification.feature_table import FeatureTable, write_feature_table
from dcgan_models.classification.feature_views import feature_neighbours
from dcgan_models.classification.features import feature_columns
from dcgan_models.presets import preset
chosen = preset("imagenet32")
columns = feature_columns(chosen)
def look(folder, n):
    folder.mkdir()
    blocks = (np.random.default_rng(i).normal(size=(100, 28672)).astype(np.float16)
              for i in range(n // 100))
    write_feature_table(folder, columns, blocks, keys=["k"] * n, labels=np.arange(n) % 10,
                        splits=["train"] * n, batch_bytes=32 << 20)
    table = FeatureTable.open(folder)
    found = feature_neighbours(table, np.arange(10), np.arange(n), 10)
    return found.rows.shape
look(Path(sys.argv[1]) / "small", 300)
used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if "VmData" in line)
limit = used + (448 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
assert look(Path(sys.argv[1]) / "large", 12000) == (10, 10)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """12,000 pictures of 28,672 features, 688 MB as stored, with at most 448 MiB more.

    280 MiB were enough with one, two and eight threads.
    """
    done = subprocess.run(
        [sys.executable, "-c", _BOUNDED, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stderr
