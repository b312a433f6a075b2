"""Exact and near groups, against comparing everything with everything."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dcgan_models.dedup import grouping
from dcgan_models.dedup.codes import hamming
from dcgan_models.dedup.grouping import choose_kept, exact_groups, near_groups, near_pairs


def distances(codes: np.ndarray) -> np.ndarray:
    bits = np.unpackbits(codes, axis=1)
    return (bits[:, None] != bits[None]).sum(axis=2)


def slow_pairs(codes: np.ndarray, radius: int) -> list[list[int]]:
    return np.argwhere(np.triu(distances(codes) <= radius, 1)).tolist()


def everything(codes: np.ndarray) -> np.ndarray:
    return np.ones(len(codes), np.bool_)


def family(n: int, bits: int, flips: float, seed: int) -> np.ndarray:
    """Different codes that descend from few: many pairs at every small distance."""
    random = np.random.default_rng(seed)
    origins = random.random((n // 20, bits)) < 0.4
    offspring = origins[random.integers(len(origins), size=n)] ^ (random.random((n, bits)) < flips)
    codes = np.packbits(offspring, axis=1)
    return random.permutation(np.unique(codes, axis=0))


small_codes = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(0, 30), st.sampled_from([1, 3, 16])),
    elements=st.sampled_from([0, 1, 2, 255]),
)


@given(small_codes, st.integers(0, 3))
def test_exact_groups_are_those_of_a_dictionary(codes: np.ndarray, seed: int) -> None:
    informative = np.random.default_rng(seed).random(len(codes)) < 0.8
    first: dict[bytes, int] = {}
    expected = [
        first.setdefault(code.tobytes(), row) if informative[row] else row
        for row, code in enumerate(codes)
    ]
    groups = exact_groups(codes, informative)
    assert groups.dtype == np.int64
    assert groups.tolist() == expected


def test_different_codes_of_one_key_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a mix that sends everything to a few keys, all still rests on real equality."""
    codes = family(600, 64, 0.05, seed=3)
    codes = np.concatenate([codes, codes[::7]])
    expected = exact_groups(codes, everything(codes))
    pairs = near_pairs(codes[: len(codes) // 2], 5)
    mix = grouping._mix
    monkeypatch.setattr(grouping, "_mix", lambda found: mix(found) & np.uint64(3 << 62))
    assert exact_groups(codes, everything(codes)).tolist() == expected.tolist()
    assert near_pairs(codes[: len(codes) // 2], 5).tolist() == pairs.tolist()


@pytest.mark.parametrize("radius", [1, 2, 3, 7, 10])
@pytest.mark.parametrize(("bits", "flips"), [(24, 0.1), (64, 0.05), (128, 0.03)])
def test_near_pairs_are_those_of_brute_force(radius: int, bits: int, flips: float) -> None:
    codes = family(400, bits, flips, seed=radius)
    expected = slow_pairs(codes, radius)
    assert expected
    pairs = near_pairs(codes, radius)
    assert pairs.dtype == np.int64
    assert pairs.tolist() == expected


@given(small_codes, st.integers(1, 6))
def test_near_pairs_of_few_codes(codes: np.ndarray, radius: int) -> None:
    codes = np.unique(codes, axis=0)
    assert near_pairs(codes, radius).tolist() == slow_pairs(codes, radius)


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = family(400, 64, 0.05, seed=5)
    rank = np.arange(len(codes))
    pairs, groups = near_pairs(codes, 5), near_groups(codes, everything(codes), rank, 5)
    monkeypatch.setattr(grouping, "_BLOCK", 3)
    assert near_pairs(codes, 5).tolist() == pairs.tolist()
    assert near_groups(codes, everything(codes), rank, 5).tolist() == groups.tolist()


def test_seven_bits_are_near_where_nothing_is_said() -> None:
    bits = np.zeros((3, 128), np.bool_)
    bits[1, :7] = bits[2, 20:28] = True
    codes = np.packbits(bits, axis=1)
    assert near_pairs(codes).tolist() == [[0, 1]]
    assert near_groups(codes, everything(codes), np.arange(3)).tolist() == [0, 0, 2]


def test_too_many_pairs_are_refused(refused) -> None:
    codes = family(400, 64, 0.02, seed=6)
    total = len(slow_pairs(codes, 5))
    assert len(near_pairs(codes, 5, limit=total)) == total
    with refused(f"more than {total - 1} pairs", "within 5 bits"):
        near_pairs(codes, 5, limit=total - 1)


def test_copies_and_radii_out_of_range_are_refused(refused) -> None:
    codes = family(40, 24, 0.1, seed=7)
    with refused("must all be different"):
        near_pairs(np.concatenate([codes, codes[:1]]), 3)
    for radius in (0, 23):
        with refused(f"radius {radius}", "1 to 22"):
            near_pairs(codes, radius)


def slow_near_groups(
    codes: np.ndarray, informative: np.ndarray, rank: np.ndarray, radius: int
) -> list[int]:
    """Visit rows by rank; a free row takes every free row within the radius."""
    near = distances(codes) <= radius
    stands = [-1] * len(codes)
    for row in sorted(range(len(codes)), key=lambda row: (rank[row], row)):
        if stands[row] == -1:
            stands[row] = row
            for other in np.flatnonzero(near[row] & informative) if informative[row] else ():
                if stands[other] == -1:
                    stands[other] = row
    return stands


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 7]))
def test_near_groups_are_those_of_visiting_by_rank(seed: int, radius: int) -> None:
    codes = family(120, 64, 0.04, seed)
    random = np.random.default_rng(seed)
    codes = codes[random.integers(len(codes), size=150)]  # equal ones among them
    informative = random.random(150) < 0.9
    rank = random.integers(0, 40, 150)
    groups = near_groups(codes, informative, rank, radius)
    assert groups.tolist() == slow_near_groups(codes, informative, rank, radius)


@pytest.mark.parametrize(
    ("rank", "asked", "expected"),
    [
        ([0, 1, 2, 3], [[0, 2], [0, 3]], [0, 0, 2, 0]),
        ([3, 2, 1, 0], [[3, 1], [2, 1]], [2, 2, 2, 3]),
    ],
)
def test_near_codes_count_where_confirmed_and_equal_ones_always(
    rank: list[int], asked: list[list[int]], expected: list[int]
) -> None:
    """Rows 0 and 1 are equal; 2 and 3 are two bits from them, and four from each other."""
    bits = np.zeros((4, 32), np.bool_)
    bits[2, :2] = bits[3, 2:4] = True
    codes = np.packbits(bits, axis=1)
    told: list[list[int]] = []

    def confirm(pairs: np.ndarray) -> np.ndarray:
        told.extend(pairs.tolist())
        return np.array([sorted(pair) in ([0, 3], [1, 2]) for pair in pairs.tolist()])

    groups = near_groups(codes, everything(codes), np.array(rank), 2, confirm=confirm)
    assert told == asked
    assert groups.tolist() == expected


def chain(length: int) -> np.ndarray:
    """Codes each one bit from the next: the ends differ in all bits."""
    return np.packbits(np.tri(length + 1, length, -1, dtype=np.bool_), axis=1)


@pytest.mark.parametrize("order", ["forward", "backward", "mixed"])
def test_a_chain_does_not_become_one_group(order: str) -> None:
    codes = chain(128)
    rank = np.arange(len(codes))
    if order == "backward":
        rank = rank[::-1].copy()
    elif order == "mixed":
        rank = np.random.default_rng(0).permutation(rank)
    groups = near_groups(codes, everything(codes), rank, 7)
    assert hamming(codes, codes[groups]).max() == 7
    leaders = np.unique(groups)
    assert (groups[leaders] == leaders).all()
    apart = distances(codes[leaders]) + 1000 * np.eye(len(leaders), dtype=np.int64)
    assert apart.min() > 7
    if order == "forward":
        assert leaders.tolist() == list(range(0, 129, 8))


def test_uninformative_rows_stay_alone() -> None:
    codes = np.repeat(family(40, 64, 0.1, seed=8)[:3], 4, axis=0)
    informative = np.arange(12) % 4 != 1
    for groups in (
        exact_groups(codes, informative),
        near_groups(codes, informative, np.arange(12), 2),
    ):
        assert groups[[1, 5, 9]].tolist() == [1, 5, 9]
        assert groups[[0, 2, 3]].tolist() == [0, 0, 0]


def test_the_lowest_rank_is_kept_and_ties_go_to_the_first_row() -> None:
    groups = np.array([0, 1, 0, 0, 1, 5, 6, 6])
    rank = np.array([9, 4, 2, 2, 4, 0, 3, -1])
    assert choose_kept(groups, rank).tolist() == [2, -1, -1, 2, 1, -1, 7, -1]


def test_near_groups_keep_what_stands_for_them() -> None:
    codes = family(200, 64, 0.03, seed=9)
    rank = np.random.default_rng(9).integers(0, 50, len(codes))
    groups = near_groups(codes, everything(codes), rank, 5)
    duplicate_of = choose_kept(groups, rank)
    rows = np.arange(len(codes))
    assert (duplicate_of >= 0).any()
    assert np.where(duplicate_of < 0, rows, duplicate_of).tolist() == groups.tolist()


def test_no_codes_have_no_groups() -> None:
    none = np.zeros((0, 16), np.uint8)
    rank = np.zeros(0, np.int64)
    assert near_pairs(none, 7).shape == (0, 2)
    assert len(exact_groups(none, everything(none))) == 0
    assert len(choose_kept(near_groups(none, everything(none), rank, 7), rank)) == 0


def test_ranks_of_another_number_are_refused(refused) -> None:
    with refused("(2,) ranks for 3 rows"):
        choose_kept(np.arange(3), np.zeros(2, np.int64))


def test_a_giant_bucket_takes_no_quadratic_memory() -> None:
    """2,000 codes that agree in 112 of 128 bits: two million candidates in most tables."""
    low = np.random.default_rng(1).choice(1 << 16, 2000, replace=False).astype(">u2")
    tails = low.view(np.uint8).reshape(-1, 2)
    codes = np.concatenate([np.full((2000, 14), 7, np.uint8), tails], axis=1)
    tracemalloc.start()
    pairs = near_pairs(codes, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    differing = np.bitwise_count(low[:, None] ^ low[None])
    assert pairs.tolist() == np.argwhere(np.triu(differing <= 1, 1)).tolist()
    assert len(pairs) > 100
    assert peak < 4_000_000
