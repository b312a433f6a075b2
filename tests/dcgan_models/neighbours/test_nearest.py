"""Exact nearest neighbours: against exact arithmetic, scikit-learn and naive float64."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import Refused
from hypothesis import given, settings
from hypothesis import strategies as st
from packaged_digits import packaged_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dcgan_models.neighbours import exact_distances, nearest
from dcgan_models.neighbours.nearest import Neighbours, nearest_neighbour_errors, nearest_neighbours

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


def rand(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def positions(count: int) -> Tensor:
    """Labels that name the reference itself."""
    return torch.arange(count)


def naive(queries: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest position (the first of equals) and squared distance, all in float64."""
    differences = queries.double()[:, None] - references.double()[None]
    distances = differences.square().sum(dim=2)
    return distances.argmin(dim=1), distances.min(dim=1).values


def grid(seed: int, steps: int, *shape: int) -> Tensor:
    """Pixels k / 256 for k < steps: their squared distances are exact in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(steps, shape, generator=generator).float() / 256


def assert_same(one: Neighbours, other: Neighbours) -> None:
    assert torch.equal(one.index, other.index)
    assert torch.equal(one.label, other.label)
    assert torch.equal(one.squared_distance, other.squared_distance)


@pytest.mark.parametrize("device", DEVICES)
def test_agrees_with_naive_float64(device: str) -> None:
    queries, references = rand(0, 30, 784), rand(1, 2500, 784)
    labels = positions(2500) % 10
    found = nearest_neighbours(queries.to(device), [(references, labels)])
    index = torch.cat([naive(part, references)[0] for part in queries.split(1)])
    distance = torch.cat([naive(part, references)[1] for part in queries.split(1)])
    assert torch.equal(found.index.cpu(), index)
    assert torch.equal(found.label.cpu(), labels[index])
    torch.testing.assert_close(found.squared_distance.cpu(), distance, rtol=1e-13, atol=0)


def test_agrees_with_scikit_learn() -> None:
    centres = rand(2, 10, 784) / 8
    truth, labels = positions(400) % 10, positions(3000) % 10
    queries = centres[truth] + rand(19, 400, 784) / 2
    references = centres[labels] + rand(20, 3000, 784) / 2
    model = KNeighborsClassifier(n_neighbors=1, algorithm="brute")
    predicted = model.fit(references.double().numpy(), labels.numpy()).predict(queries.double())
    (result,) = nearest_neighbour_errors(queries, truth, [(references, labels)])
    wrong = predicted != truth.numpy()
    assert 0.05 < result.error < 0.95
    assert result.error == pytest.approx(wrong.mean())
    assert result.references == 3000
    expected = {digit: wrong[truth.numpy() == digit].mean() for digit in range(10)}
    assert result.class_errors == pytest.approx(expected)


def test_error_and_class_errors_of_planted_neighbours() -> None:
    references = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([7, 3, 3])
    queries = torch.tensor([[0.1, 0.0], [0.2, 0.1], [0.9, 0.0], [0.1, 0.8], [0.0, 0.1]])
    truth = torch.tensor([7, 3, 3, 3, 5])
    (result,) = nearest_neighbour_errors(queries, truth, [(references, labels)])
    assert result.error == pytest.approx(2 / 5)
    assert result.class_errors == pytest.approx({3: 1 / 3, 5: 1.0, 7: 0.0})
    assert list(result.class_errors) == [3, 5, 7]


def planted_near_ties(count: int) -> tuple[Tensor, Tensor]:
    """Queries, and for each a decoy first and then a copy of it one last bit nearer."""
    queries, far = rand(3, count, 784), rand(4, count, 784)
    decoys = queries + (far - queries) / 8
    rows = torch.arange(count)
    pixel = (decoys - queries).abs().argmax(dim=1)
    nearer = decoys.clone()
    nearer[rows, pixel] = torch.nextafter(decoys[rows, pixel], queries[rows, pixel])
    return queries, torch.stack([decoys, nearer], dim=1).flatten(0, 1)


@pytest.mark.parametrize("device", DEVICES)
def test_near_ties_that_float32_cannot_tell(device: str) -> None:
    queries, references = planted_near_ties(40)
    for row in (0, 17):
        exact = [
            sum(
                (Fraction(q) - Fraction(r)) ** 2
                for q, r in zip(queries[row].tolist(), reference.tolist(), strict=True)
            )
            for reference in references[2 * row : 2 * row + 2]
        ]
        assert exact[1] < exact[0]
    proposed = (references.square().sum(dim=1) - 2 * queries @ references.T).argmin(dim=1)
    assert (proposed != 2 * torch.arange(40) + 1).any(), "the plants are no trap for float32"
    found = nearest_neighbours(queries.to(device), [(references, positions(80))])
    assert torch.equal(found.index.cpu(), 2 * torch.arange(40) + 1)


@pytest.mark.parametrize("block", [1, 60, 180])
def test_equal_distances_go_to_the_earliest(block: int) -> None:
    queries = grid(5, 256, 20, 9)
    mirror = torch.full((20, 9), 1 / 16)
    far = grid(6, 256, 60, 9) + 2
    references = torch.cat([far, queries + mirror, far, queries - mirror, queries + mirror])
    blocks = zip(references.split(block), positions(180).split(block), strict=True)
    found = nearest_neighbours(queries, blocks)
    assert torch.equal(found.index, 60 + torch.arange(20))
    assert (found.squared_distance == 9 / 256).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [1.0, 1 / 3, 1e15, 1e-25])
def test_identical_rows_are_at_distance_zero(scale: float, device: str) -> None:
    references = rand(7, 300, 784) * scale
    queries = references[[250, 3, 3, 77]].to(device)
    found = nearest_neighbours(queries, [(references, positions(300))])
    assert found.index.tolist() == [250, 3, 3, 77]
    assert found.squared_distance.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("scale", "offset"), [(1.0, 1000.0), (1e15, 0.0), (1e-22, 0.0), (1e-30, 0.0), (4.0, -2.0)]
)
def test_exact_at_any_scale(scale: float, offset: float) -> None:
    queries = rand(8, 20, 50) * scale + offset
    references = rand(9, 400, 50) * scale + offset
    index, distance = naive(queries, references)
    found = nearest_neighbours(queries, [(references, positions(400))])
    assert torch.equal(found.index, index)
    torch.testing.assert_close(found.squared_distance, distance, rtol=1e-13, atol=0)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """A long sum then is split between threads, where a library sums a single row."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@settings(max_examples=60)
@given(
    cuts=st.lists(st.integers(0, 700), max_size=6),
    d=st.integers(1, 40),
    steps=st.sampled_from([2, 4, 256]),
    seed=st.integers(0, 10**6),
    small=st.booleans(),
)
def test_cutting_changes_nothing(
    cuts: list[int], d: int, steps: int, seed: int, small: bool
) -> None:
    queries, references = grid(seed, steps, 11, d), grid(seed + 1, steps, 700, d)
    labels = positions(700) % 7
    bounds = [0, *sorted(cuts), 700]
    blocks = [(references[low:high], labels[low:high]) for low, high in pairwise(bounds)]
    with pytest.MonkeyPatch.context() as patch:
        if small:  # several products and spans, ragged at every end
            patch.setitem(exact_distances.SIZES, "cpu", exact_distances.Sizes(4, 128, 3))
            patch.setattr(nearest, "_SPAN", 300)
        found = nearest_neighbours(queries, blocks)
    index, distance = naive(queries, references)
    assert torch.equal(found.index, index)
    assert torch.equal(found.label, labels[index])
    assert torch.equal(found.squared_distance, distance)


def test_distances_are_the_same_in_any_company(two_threads: None) -> None:
    queries, references, pairs = rand(10, 12, 40_001), rand(11, 12, 40_001), torch.arange(12)
    one, few, all_ = (
        exact_distances.squared_distances(queries, pairs, references, pairs, step)
        for step in (1, 5, 40)
    )
    assert torch.equal(one, all_)
    assert torch.equal(few, all_)


@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-3])
def test_collapsed_generator_is_exact_and_cheap(
    spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = rand(12, 30, 784)
    generator = torch.Generator().manual_seed(13)
    references = rand(14, 4, 784)[positions(3000) % 4]
    references = references + spread * torch.randn(3000, 784, generator=generator)
    measured = []
    measure = exact_distances.squared_distances

    def counted(queries: Tensor, rows: Tensor, *rest: Any) -> Tensor:
        measured.append(len(rows))
        return measure(queries, rows, *rest)

    monkeypatch.setattr(nearest, "squared_distances", counted)
    found = nearest_neighbours(queries, [(references, positions(3000))])
    for row in range(30):
        index, distance = naive(queries[row : row + 1], references)
        if spread:
            assert found.index[row] == index
        else:
            assert torch.equal(references[found.index[row]], references[index[0]])
            assert found.index[row] < 4
        torch.testing.assert_close(found.squared_distance[row], distance[0], rtol=1e-13, atol=0)
    assert sum(measured) < 30 * 8


def test_checkpoints_are_the_errors_of_the_prefixes() -> None:
    queries, references = rand(15, 60, 30), rand(16, 1000, 30)
    truth, labels = positions(60) % 3, positions(1000) % 3
    blocks = list(zip(references.split(130), labels.split(130), strict=True))
    marks = [1000, 7, 130, 131, 7, 400]
    results = nearest_neighbour_errors(queries, truth, blocks, checkpoints=marks)
    assert [result.references for result in results] == [7, 130, 131, 400, 1000]
    for result in results:
        prefix = [(references[: result.references], labels[: result.references])]
        assert nearest_neighbour_errors(queries, truth, prefix) == [result]
    assert len({result.error for result in results}) > 2
    *_, last = nearest_neighbour_errors(queries, truth, blocks, checkpoints=[400])
    assert last == results[-1]


def test_a_checkpoint_is_not_moved_by_later_references() -> None:
    queries = torch.zeros(1, 2)
    stream = [(torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), torch.tensor([5, 6, 7]))]
    errors = nearest_neighbour_errors(queries, torch.tensor([6]), stream, checkpoints=[1, 2])
    assert [result.error for result in errors] == [1.0, 0.0, 1.0]


def test_one_block_is_alive_at_a_time() -> None:
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most = []

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        for seed in range(8):
            most.append(len(alive))
            pixels = rand(seed, 50, 9)
            alive.add(pixels)
            yield pixels, positions(50)
            del pixels

    nearest_neighbour_errors(rand(9, 5, 9), positions(5), blocks(), checkpoints=[20, 100, 330])
    assert most == [0] * 8


MEMORY = """
import torch
from dcgan_models.neighbours.nearest import nearest_neighbours
torch.manual_seed(0)
peaks = []
def peak():
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    with open("/proc/self/status") as lines:
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
def blocks():
    for _ in range(60):
        peaks.append(peak())
        yield torch.rand(2500, 784), torch.zeros(2500, dtype=torch.int64)
nearest_neighbours(torch.rand(50, 784), blocks())
print(peaks[-1] - peaks[5])
"""


@pytest.mark.slow
def test_memory_is_flat() -> None:
    """55 blocks are 431 MB; the peak may grow by a few of them, the allocator's slack."""
    run = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=300
    )
    assert int(run.stdout) < 40_000_000


class Precision(TorchFunctionMode):
    """Notes the precision in force at every product."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.addmm:
            backends = torch.backends
            self.seen.append(
                (backends.cuda.matmul.fp32_precision, backends.mkldnn.matmul.fp32_precision)
            )
        return func(*args, **(kwargs or {}))


def test_products_are_full_float32_and_the_setting_comes_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with Precision() as mode:
            nearest_neighbours(rand(0, 5, 9), [(rand(1, 50, 9), positions(50))])
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert mode.seen == [("ieee", "ieee")]


def test_autocast_and_gradients_of_the_caller_do_not_matter() -> None:
    queries, references = planted_near_ties(40)
    plain = nearest_neighbours(queries, [(references, positions(80))])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nearest_neighbours(
            queries.requires_grad_(), [(references.requires_grad_(), positions(80))]
        )
    assert_same(found, plain)
    assert not found.squared_distance.requires_grad


@pytest.mark.parametrize("scale", [1.0, 1e15, 1e-20])
@pytest.mark.parametrize("d", [1, 9, 784, 20_000])
def test_rounding_bound_holds_and_is_of_use(d: int, scale: float) -> None:
    queries, references = rand(17, 20, d) * scale, rand(18, 64, d) * scale
    norms = torch.linalg.vector_norm(references, dim=1)
    scores = torch.addmm(norms.square(), queries, references.T, alpha=-2)
    exact = references.double().square().sum(dim=1) - 2 * queries.double() @ references.double().T
    query_norms = torch.linalg.vector_norm(queries.double(), dim=1)
    bound = exact_distances.rounding_bound(query_norms, norms, d)
    assert ((scores - exact).abs() <= bound[:, None]).all()
    if scale >= 1:
        assert (bound < 1e-6 * (d + 8) * query_norms.max() ** 2).all() or d == 1


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_values_that_are_not_finite_are_refused(value: float, refused: Refused) -> None:
    bad = rand(0, 40, 9)
    bad[30, 4] = value
    blocks = [(rand(1, 100, 9), positions(100)), (bad, positions(40))]
    with refused("reference 130 ", "finite"):
        nearest_neighbours(rand(2, 5, 9), blocks)
    with refused("query 30 ", "finite"):
        nearest_neighbours(bad, blocks[:1])


@pytest.mark.parametrize(
    ("pixels", "labels", "words"),
    [
        (torch.zeros(4, 8), torch.zeros(4).long(), "float32 (4, 8)"),
        (torch.zeros(9), torch.zeros(9).long(), "float32 (9,)"),
        (torch.zeros(4, 9).double(), torch.zeros(4).long(), "float64 (4, 9)"),
        (torch.zeros(4, 9), torch.zeros(5).long(), "int64 (5,)"),
        (torch.zeros(4, 9), torch.zeros(4), "float32 (4,)"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(
    pixels: Tensor, labels: Tensor, words: str, refused: Refused
) -> None:
    stream = [(rand(1, 100, 9), positions(100)), (pixels, labels)]
    with refused("block at reference 100", words):
        nearest_neighbour_errors(rand(2, 5, 9), positions(5), stream, checkpoints=[102])


@pytest.mark.parametrize("queries", [torch.zeros(0, 9), torch.zeros(9), torch.zeros(5, 9).half()])
def test_queries_of_another_kind_are_refused(queries: Tensor, refused: Refused) -> None:
    with refused("queries are", "float32 (q, d)"):
        nearest_neighbours(queries, [(torch.zeros(4, 9), positions(4))])


def test_labels_and_checkpoints_that_do_not_fit_are_refused(refused: Refused) -> None:
    queries, stream = rand(2, 5, 9), [(rand(1, 100, 9), positions(100))]
    with refused("query labels", "int64 (4,)", "(5,)"):
        nearest_neighbour_errors(queries, positions(4), stream)
    with refused("checkpoint 0", "from 1"):
        nearest_neighbour_errors(queries, positions(5), stream, checkpoints=[50, 0])
    with refused("checkpoint 101", "after 100 references"):
        nearest_neighbour_errors(queries, positions(5), stream, checkpoints=[50, 101])


@pytest.mark.parametrize("stream", [[], [(torch.zeros(0, 9), torch.zeros(0).long())]])
def test_no_references_are_refused(stream: list[tuple[Tensor, Tensor]], refused: Refused) -> None:
    with refused("no references"):
        nearest_neighbours(rand(2, 5, 9), stream)


def test_agrees_with_scikit_learn_on_digits() -> None:
    """Real digits, where pixels repeat and distances crowd: the same neighbours as float64."""
    levels, labels = packaged_digits()
    pixels = (levels / 255).astype(np.float32)
    queries, references = pixels[::25], np.delete(pixels, np.s_[::25], axis=0)
    model = KNeighborsClassifier(n_neighbors=1, algorithm="brute")
    model.fit(references.astype(np.float64), np.delete(labels, np.s_[::25]))
    _, index = model.kneighbors(queries.astype(np.float64))
    found = nearest_neighbours(
        torch.from_numpy(queries), [(torch.from_numpy(references), positions(4800))]
    )
    assert np.array_equal(found.index.numpy(), index[:, 0])
