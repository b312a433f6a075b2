"""Retrieval against brute force in float64, planted copies, and D's own forward pass."""

from __future__ import annotations

import math
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import Refused
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist  # type: ignore[import-untyped]
from torch import Tensor

from dcgan_models.neighbours import retrieval
from dcgan_models.neighbours.retrieval import Nearest, last_features, median_distance, nearest_by
from dcgan_models.networks import Discriminator, fix_statistics, from_pixels, initialise
from dcgan_models.pixels import Pixels
from dcgan_models.presets import preset

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
Spaces = list[Tensor]


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng(seed))


def spaces(seed: int, n: int, *widths: int) -> Spaces:
    return [normal(seed + 100 * number, n, width) for number, width in enumerate(widths)]


def rows_of(features: Spaces, rows: Any) -> Spaces:
    return [part[rows] for part in features]


def in_blocks(features: Spaces, bounds: Sequence[int]) -> Iterator[tuple[Spaces, Tensor]]:
    for low, high in pairwise(bounds):
        yield rows_of(features, slice(low, high)), torch.arange(low, high)


def brute_force(
    queries: Spaces, references: Spaces, k: int, scales: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """The k nearest by SciPy's distances in float64 and a full stable sort."""
    squared = np.sum(
        [
            cdist(ours.double().cpu(), theirs.double(), "sqeuclidean") / scale**2
            for ours, theirs, scale in zip(queries, references, scales, strict=True)
        ],
        axis=0,
    )
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    distances = np.sqrt(np.take_along_axis(squared, order, axis=1) / len(scales))
    return torch.from_numpy(order), torch.from_numpy(distances)


def assert_is(found: Nearest, rows: Tensor, distances: Tensor) -> None:
    assert (found.rows.dtype, found.distances.dtype) == (torch.int64, torch.float32)
    assert torch.equal(found.rows.cpu(), rows)
    torch.testing.assert_close(found.distances.cpu(), distances.float(), rtol=1e-6, atol=0)
    assert (found.distances[:, 1:] >= found.distances[:, :-1]).all()


# --- The search -------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_agrees_with_brute_force(device: str) -> None:
    queries, references = spaces(0, 40, 128, 300), spaces(1, 5000, 128, 300)
    scales = [13.0, 0.4]
    ours = [part.to(device) for part in queries]
    found = nearest_by(ours, in_blocks(references, [0, 3000, 3001, 5000]), 10, scales=scales)
    assert_is(found, *brute_force(queries, references, 10, scales))


@settings(max_examples=30)
@given(
    cuts=st.lists(st.integers(0, 500), max_size=5),
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    levels=st.sampled_from([2, 4, 1000]),
    k=st.integers(1, 40),
    seed=st.integers(0, 10**6),
)
def test_cutting_and_equal_distances_change_nothing(
    cuts: list[int], widths: list[int], levels: int, k: int, seed: int
) -> None:
    """Few levels make many equal distances, exact in float64; the lower row goes first."""

    def grid(seed: int, n: int) -> Spaces:
        generator = rng(seed)
        return [torch.randint(levels, (n, d), generator=generator).float() / 1024 for d in widths]

    queries, references = grid(seed, 7), grid(seed + 1, 500)
    scales = [2.0**-number for number in range(len(widths))]
    with pytest.MonkeyPatch.context() as patch:  # several parts, ragged at every end
        patch.setattr(retrieval, "_NUMBERS", 400)
        bounds = [0, *sorted(cuts), 500]
        found = nearest_by(queries, in_blocks(references, bounds), k, scales=scales)
    assert_is(found, *brute_force(queries, references, k, scales))


def test_the_order_of_the_stream_changes_nothing() -> None:
    queries, references = spaces(2, 9, 6, 4), [part.round() for part in spaces(3, 800, 6, 4)]
    queries = [part.round() for part in queries]
    order = torch.randperm(800, generator=rng(4))
    forward = nearest_by(queries, [(references, torch.arange(800))], 15, scales=[1.0, 2.0])
    shuffled = nearest_by(queries, [(rows_of(references, order), order)], 15, scales=[1.0, 2.0])
    assert torch.equal(forward.rows, shuffled.rows)
    assert torch.equal(forward.distances, shuffled.distances)


def test_distance_by_hand() -> None:
    """3 of 3 in one space and 4 of 2 in the other: sqrt((1 + 4) / 2)."""
    queries = [torch.zeros(1, 2), torch.zeros(1, 1)]
    block = [torch.tensor([[0.0, 3.0], [0.0, 0.0]]), torch.tensor([[4.0], [0.0]])]
    found = nearest_by(queries, [(block, torch.tensor([70, 9_000_000_000]))], 2, scales=[3.0, 2.0])
    assert found.rows.tolist() == [[9_000_000_000, 70]]
    assert found.distances.tolist() == [[0, pytest.approx(math.sqrt(2.5))]]


def test_planted_copies_come_first_at_distance_zero() -> None:
    """Far from the origin, where float32 products say nothing about such distances."""
    references = [part + 1000 for part in spaces(5, 3000, 32, 64)]
    queries = rows_of(references, [2999, 17])
    near = [part[17:18].clone() for part in references]
    near[1][0, 5] = torch.nextafter(near[1][0, 5], torch.tensor(torch.inf))
    references = [torch.cat(pair) for pair in zip(references, near, strict=True)]
    found = nearest_by(queries, in_blocks(references, [0, 1000, 3001]), 3, scales=[8.0, 11.0])
    assert_is(found, *brute_force(queries, references, 3, [8.0, 11.0]))
    assert found.rows[:, 0].tolist() == [2999, 17]
    assert found.rows[1, 1] == 3000
    assert found.distances[:, 0].tolist() == [0, 0]
    assert 0 < found.distances[1, 1] < 1e-5


@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-3])
def test_a_crowd_of_near_copies_is_exact(spread: float) -> None:
    base = normal(6, 2, 40)[torch.arange(1500) % 2]
    references = [base + spread * normal(7 + number, 1500, 40) for number in range(2)]
    queries = spaces(9, 6, 40, 40)
    found = nearest_by(queries, in_blocks(references, [0, 700, 1500]), 20, scales=[1.0, 1.0])
    if spread:
        assert_is(found, *brute_force(queries, references, 20, [1.0, 1.0]))
    else:  # equal distances, which SciPy need not sum alike: the 20 first rows of one base
        assert (found.rows % 2 == found.rows[:, :1] % 2).all()
        assert (found.rows // 2 == torch.arange(20)).all()


@pytest.mark.parametrize("magnitude", [1e-8, 1e8])
def test_exact_at_any_scale(magnitude: float) -> None:
    queries, references = spaces(10, 20, 30, 5), spaces(11, 900, 30, 5)
    scales = [7.0 * magnitude, 3.0 / magnitude]

    def scaled(features: Spaces) -> Spaces:
        return [features[0] * magnitude, features[1] / magnitude]

    found = nearest_by(scaled(queries), [(scaled(references), torch.arange(900))], 8, scales=scales)
    assert_is(found, *brute_force(scaled(queries), scaled(references), 8, scales))


def test_a_space_tells_as_much_as_its_scale_lets_it() -> None:
    queries, references = spaces(12, 15, 20, 20), spaces(13, 1000, 20, 20)
    for space, scales in ((0, [1.0, 1e6]), (1, [1e6, 1.0])):
        both = nearest_by(queries, in_blocks(references, [0, 1000]), 5, scales=scales)
        one = [[part[space]] for part in (queries, references)]
        alone = nearest_by(one[0], in_blocks(one[1], [0, 1000]), 5, scales=[1.0])
        assert torch.equal(both.rows, alone.rows)


def test_autocast_and_gradients_of_the_caller_do_not_matter() -> None:
    queries, references = spaces(16, 30, 64, 64), spaces(17, 2000, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nearest_by(
            [part.clone().requires_grad_() for part in queries],
            in_blocks([part.clone().requires_grad_() for part in references], [0, 2000]),
            5,
            scales=[1.0, 2.0],
        )
    assert_is(found, *brute_force(queries, references, 5, [1.0, 2.0]))
    assert not found.distances.requires_grad


def test_one_block_is_alive_at_a_time() -> None:
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most = []

    def blocks() -> Iterator[tuple[Spaces, Tensor]]:
        for seed in range(6):
            most.append(len(alive))
            features = spaces(seed, 50, 4, 9)
            alive.update(features)
            yield features, torch.arange(50)
            del features

    nearest_by(spaces(9, 5, 4, 9), blocks(), 3, scales=[1.0, 1.0])
    assert most == [0] * 6


MEMORY = """
import torch
from dcgan_models.neighbours.retrieval import nearest_by
torch.manual_seed(0)
peaks = []
def peak():
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    with open("/proc/self/status") as lines:
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
def blocks():
    for first in range(0, 100_000, 2500):
        peaks.append(peak())
        rows = torch.arange(first, first + 2500)
        yield [torch.rand(2500, 128), torch.rand(2500, 512)], rows
nearest_by([torch.rand(50, 128), torch.rand(50, 512)], blocks(), 10, scales=[4.0, 9.0])
print(peaks[-1] - peaks[5])
"""


@pytest.mark.slow
def test_memory_is_flat() -> None:
    """34 blocks are 218 MB; the peak may grow by a few of them, the allocator's slack."""
    run = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=300
    )
    assert int(run.stdout) < 40_000_000


def test_what_does_not_fit_is_refused(refused: Refused) -> None:
    queries, rows = spaces(18, 4, 3, 5), torch.arange(6)
    good, scales = spaces(19, 6, 3, 5), [1.0, 1.0]

    def search(block: Spaces, k: int = 2) -> None:
        nearest_by(queries, [(good, rows), (block, rows)], k, scales=scales)

    with refused("from reference 6 on", "(6, 4)]", "(6, 5)]"):
        search([good[0], good[1][:, :4]])
    with refused("from reference 6 on", "(5, 5)]", "(6, 5)]"):
        search([good[0], good[1][:5]])
    with refused("features are [(6, 3)]", "needed are [(6, 3), (6, 5)]"):
        search(good[:1])
    with refused("k is 0"):
        search(good, k=0)
    with refused("13 nearest pictures of 12"):
        search(good, k=13)
    for scale in (0.0, -1.0, math.nan, math.inf):
        with refused("scales are", str(scale)):
            nearest_by(queries, [(good, rows)], 2, scales=[1.0, scale])
    with refused("from query 0 on", "scale for each", "are 1"):
        nearest_by(queries, [(good, rows)], 2, scales=[1.0])
    with refused("from query 0 on", "(3, 5)]", "(4, 5)]"):
        nearest_by([queries[0], queries[1][:3]], [(good, rows)], 2, scales=scales)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(value: float, refused: Refused) -> None:
    good, bad = spaces(20, 6, 3, 5), spaces(21, 6, 3, 5)
    bad[1][4, 2] = value
    rows = torch.arange(6)
    with refused("reference 10", "finite"):
        nearest_by(good, [(good, rows), (bad, rows)], 2, scales=[1.0, 1.0])
    with refused("query 4", "finite"):
        nearest_by(bad, [(good, rows)], 2, scales=[1.0, 1.0])


# --- Scales -----------------------------------------------------------------------------------


def test_median_distance_is_scipys() -> None:
    features = normal(22, 301, 17)
    distances = cdist(features.double(), features.double())[np.triu_indices(301, 1)]
    assert median_distance(features) == pytest.approx(float(np.median(distances)), rel=1e-4)


def test_median_distance_of_many_is_of_an_even_choice() -> None:
    """Two groups, one after the other: the first thousand alone would see only one of them."""
    features = torch.cat([normal(23, 2000, 8), 50 + normal(24, 2001, 8)])
    assert median_distance(features) > 100


def test_scaled_by_the_rule_neither_space_dominates() -> None:
    """A space a thousand times larger and one eight times wider have their say alike."""
    both = [1000 * normal(25, 3000, 40), normal(26, 3000, 320)]
    both[0] += 1500 * normal(27, 3000, 4) @ normal(28, 4, 40)
    both[1] += 1.5 * normal(29, 3000, 4) @ normal(30, 4, 320)
    held_out, queries, references = (
        rows_of(both, part) for part in (slice(500), slice(500, 700), slice(700, None))
    )
    scales = [median_distance(part) for part in held_out]
    blocks = list(in_blocks(references, [0, 2300]))
    alone = [
        nearest_by([queries[i]], [([f[i]], rows) for f, rows in blocks], 20, scales=[1.0]).rows
        for i in range(2)
    ]

    def shared(scales: list[float], number: int) -> float:
        """Share of the joint result that is also a space's own."""
        joint = nearest_by(queries, blocks, 20, scales=scales).rows
        return (joint[:, :, None] == alone[number][:, None]).any(dim=2).float().mean().item()

    assert 0.5 < shared(scales, 0) / shared(scales, 1) < 2
    assert shared([1.0, 1.0], 0) > 0.95
    assert shared([1.0, 1.0], 1) < 0.1


def test_unrelated_pictures_are_about_one_apart() -> None:
    held_out, others = spaces(31, 150, 60, 200), spaces(32, 150, 60, 200)
    scales = [median_distance(part) for part in held_out]
    found = nearest_by(held_out, in_blocks(others, [0, 150]), 150, scales=scales)
    assert found.distances.median().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    "features",
    [
        torch.zeros(0, 4),
        torch.zeros(1, 4),
        torch.ones(9, 4),
        torch.full((9, 4), math.nan),
        torch.eye(9)[[0, 0, 0, 0, 0, 0, 0, 0, 8]],
    ],
)
def test_a_space_without_a_scale_is_refused(features: Tensor, refused: Refused) -> None:
    with refused("median distance of two pictures", "at least two"):
        median_distance(features)


# --- Features ---------------------------------------------------------------------------------


def pictures(seed: int, n: int, *, size: int = 64, channels: int = 3) -> Pixels:
    shape = (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def discriminator(name: str = "lsun64") -> Discriminator:
    network = Discriminator(preset(name).with_overrides(width=0.03, batch=8))
    initialise(network, rng(33))
    return network


def test_last_features_are_what_the_last_hidden_block_gives() -> None:
    """Caught by a hook in D's own forward pass, and averaged over the 4x4 places by hand."""
    network, shown = discriminator(), pictures(34, 5)
    fix_statistics(network, pictures(35, 64), batch=16)
    caught: list[Tensor] = []
    handle = network.blocks[3].register_forward_hook(lambda _m, _i, out: caught.append(out))
    with torch.no_grad():
        network(from_pixels(torch.from_numpy(shown), network.preset))
    handle.remove()
    assert caught[0].shape == (5, 31, 4, 4)
    found = last_features(network, shown, batch=2)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    torch.testing.assert_close(found, caught[0].flatten(2).sum(dim=2) / 16, rtol=1e-5, atol=1e-6)


def test_the_paper_has_1024_features() -> None:
    layers = preset("lsun64").discriminator
    assert [layer.out for layer in layers if layer.op == "conv"][-1] == 1024


def test_a_picture_has_the_same_features_in_any_company() -> None:
    network, shown = discriminator("svhn32"), pictures(38, 9, size=32)
    fix_statistics(network, pictures(39, 64, size=32))
    alone = torch.cat([last_features(network, shown[i : i + 1]) for i in range(9)])
    together = last_features(network, shown, batch=4)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_a_moved_picture_stays_nearer_than_others() -> None:
    """D's strides add up to 16 pixels: a picture moved by as much has nearly the same maps."""
    network, shown = discriminator(), pictures(40, 20)
    contrast = np.linspace(0.2, 1, 20).reshape(-1, 1, 1, 1)  # each has its own
    shown = (shown * contrast).astype(np.uint8)
    fix_statistics(network, shown)
    features, moved = (last_features(network, x) for x in (shown, np.roll(shown, 16, axis=2)))
    found = nearest_by([moved], [([features], torch.arange(20))], 1, scales=[1.0])
    assert (found.rows[:, 0] == torch.arange(20)).float().mean() >= 0.9


def test_a_read_only_memory_map_will_do(recwarn: pytest.WarningsRecorder) -> None:
    network, shown = discriminator("svhn32"), pictures(41, 6, size=32)
    shown.setflags(write=False)
    fix_statistics(network, shown)
    assert last_features(network, shown).shape == (6, 8)
    assert not recwarn.list


def test_discriminators_and_pictures_that_do_not_fit_are_refused(refused: Refused) -> None:
    network, shown = discriminator("svhn32"), pictures(42, 4, size=32)
    with refused("no statistics"):
        last_features(network, shown)
    fix_statistics(network, shown)
    with refused("svhn32 needs uint8 (n, 32, 32, 3)", "(4, 16, 32, 3)"):
        last_features(network, shown[:, :16])
    with refused("mnist28_fc", "no convolution"):
        last_features(discriminator("mnist28_fc"), pictures(43, 4, size=28, channels=1))


def test_an_output_unit_that_is_a_convolution_is_no_feature() -> None:
    wanted = preset("torch64").with_overrides(width=1 / 32)
    network = Discriminator(wanted)
    initialise(network, torch.Generator().manual_seed(3))
    shown = np.random.default_rng(4).integers(0, 256, (6, 64, 64, 3), np.uint8)
    fix_statistics(network, shown)
    assert wanted.discriminator[-1].op == "conv"
    assert last_features(network, shown).shape == (6, wanted.discriminator[-2].out)
