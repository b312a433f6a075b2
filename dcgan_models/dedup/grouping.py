"""Which pictures are duplicates of which: equal codes, and codes within a few bits.

The paper removes exact collisions of 128-bit codes in linear time (section 3.1). Equal codes find
little more than re-encoded copies; `near_groups` finds the rest of what an edit leaves within a
few bits.

A group is named by one of its rows: groups are int64 (n,), the row that stands for each row, and
a row that is alone stands for itself. Codes are packed uint8 (n, bits / 8), as in codes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

from dcgan_models.dedup.codes import Codes, words
from dcgan_models.errors import UserError

Words = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

# Odd, with well mixed bits: 2^64 over the golden ratio, as in SplitMix64.
_MULTIPLIER = 0x9E3779B97F4A7C15
# Two pieces make keys of about 28 of 128 bits at radius 7. One piece would be 16 bits, and three
# million real codes share those far too often; three would be 120 tables in place of 36.
_AGREEING = 2
_BLOCK = 1 << 18  # pairs compared at once: their words stay in the cache


def exact_groups(codes: Codes, informative: npt.NDArray[np.bool_]) -> Rows:
    """Group equal codes, in the time of one sort.

    Args:
        codes: Packed uint8 (n, bits / 8).
        informative: bool (n,), as `informative_codes` gives; other rows stay alone.

    Returns:
        int64 (n,): the first row with the same code.
    """
    groups = np.arange(len(codes))
    found = words(codes)[informative]
    rows = np.flatnonzero(informative)
    twins, _ = _sharing(found)
    if len(twins):
        twins = twins[np.lexsort(found[twins].T)]  # equal codes are now neighbours
        found = found[twins]
        starts = np.flatnonzero(np.append(True, (found[1:] != found[:-1]).any(axis=1)))
        firsts = np.minimum.reduceat(twins, starts)
        groups[rows[twins]] = rows[np.repeat(firsts, np.diff(starts, append=len(twins)))]
    return groups


def _sharing(found: Words) -> tuple[Rows, npt.NDArray[np.uint64]]:
    """Rows that may have an equal one among the others, brought together by a mixed key.

    The row's number fills the low bits of its key, so that one plain sort does both. A key is
    then some 40 bits, and different rows now and then share one: the caller compares the rows.

    Returns:
        The rows whose key comes more than once, in the order of the keys, and their keys.
    """
    low = np.uint64(len(found).bit_length())
    keys = _mix(found) >> low << low
    keys |= np.arange(len(found), dtype=np.uint64)
    keys.sort()
    shared = np.zeros(len(keys), np.bool_)
    same = keys[1:] >> low == keys[:-1] >> low
    shared[1:] = same
    shared[:-1] |= same
    keys = keys[shared]
    rows = keys & ((np.uint64(1) << low) - np.uint64(1))
    return rows.astype(np.int64), keys >> low


def _mix(found: Words) -> npt.NDArray[np.uint64]:
    """One 64-bit number for each row of words; equal rows get equal ones."""
    mixed = np.zeros(len(found), np.uint64)
    for column in found.T:
        mixed ^= column
        mixed *= np.uint64(_MULTIPLIER)
        mixed ^= mixed >> np.uint64(32)
        mixed *= np.uint64(_MULTIPLIER)
    return mixed


def near_pairs(codes: Codes, radius: int = 7, *, limit: int = 20_000_000) -> Rows:
    """All pairs of codes that differ in at most `radius` bits, without comparing all.

    The bits are cut into `radius` + 2 pieces. Two codes within the radius agree in at least two
    whole pieces, so that sorting by every choice of two pieces brings them together; only such
    candidates are compared, bit by bit. The answer is exact.

    Args:
        codes: Packed uint8 (n, bits / 8), all different: equal ones are for `exact_groups`, and
            a thousand copies would make half a million pairs.
        radius: From 1 to bits - 2. At 10, three million codes take about five times as
            long as at 7.
        limit: Most pairs to return; about 60 bytes of memory each.

    Returns:
        int64 (pairs, 2), the lower row first, each pair once, sorted.

    Raises:
        UserError: The radius is outside its range, a code comes twice, or the limit is passed,
            which happens when codes have collapsed (`judge_codes` tells).
    """
    found = words(codes)
    bits = codes.shape[1] * 8
    if not 1 <= radius <= bits - _AGREEING:
        raise UserError(f"radius {radius}: 1 to {bits - _AGREEING} for codes of {bits} bits")
    everything = np.ones(len(codes), np.bool_)
    if (exact_groups(codes, everything) != np.arange(len(codes))).any():
        raise UserError("codes to pair must all be different: collapse equal ones first")
    pieces = _pieces(bits, radius + _AGREEING)
    # A limit and not a full memory: collapsed codes make nearly n squared / 2 pairs.
    pairs = [np.empty((0, 2), np.int64)]
    total = 0
    for chosen in combinations(range(len(pieces)), _AGREEING):
        for part in _pairs_of_table(found, pieces, chosen, radius):
            total += len(part)
            if total > limit:
                raise UserError(
                    f"more than {limit} pairs of codes within {radius} bits: they are too alike"
                )
            pairs.append(part)
    joined = np.concatenate(pairs)
    return joined[np.lexsort((joined[:, 1], joined[:, 0]))]


def _pieces(bits: int, count: int) -> Words:
    """Masks that cut the bits into `count` nearly equal stretches: uint64 (count, words)."""
    member = np.arange(bits) * count // bits
    return words(np.packbits(member == np.arange(count)[:, None], axis=1))


def _pairs_of_table(
    found: Words, pieces: Words, chosen: tuple[int, ...], radius: int
) -> Iterator[Rows]:
    """Near pairs that agree in the chosen pieces and in no earlier choice of pieces, in blocks.

    A pair that agrees in many pieces turns up in many tables; it belongs to the first.
    """
    mask = np.bitwise_or.reduce(pieces[list(chosen)])
    others = [pieces[piece] for piece in range(chosen[-1]) if piece not in chosen]
    order, keys = _sharing(found & mask)
    found = found[order]
    first, step = np.arange(len(order)), 1
    # Each round pairs the rows of every bucket with those `step` places on. The memory is that
    # of one round, however large a bucket is.
    while len(first := _still_together(keys, first, step)):
        for low in range(0, len(first), _BLOCK):
            one = first[low : low + _BLOCK]
            difference = found[one] ^ found[one + step]
            near = np.flatnonzero(np.bitwise_count(difference).sum(axis=1) <= radius)
            difference = difference[near]
            here = ~(difference & mask).any(axis=1)  # the keys are mixed: this is the proof
            for other in others:
                here &= (difference & other).any(axis=1)
            one = one[near[here]]
            yield np.sort(np.stack([order[one], order[one + step]], axis=1), axis=1)
        step += 1


def _still_together(keys: npt.NDArray[np.uint64], first: Rows, step: int) -> Rows:
    """Those of `first` whose key is also found `step` places on."""
    first = first[: np.searchsorted(first, len(keys) - step)]
    together: Rows = first[keys[first + step] == keys[first]]
    return together


def near_groups(
    codes: Codes,
    informative: npt.NDArray[np.bool_],
    rank: npt.NDArray[np.int64],
    radius: int = 7,
    *,
    confirm: Callable[[Rows], npt.NDArray[np.bool_]] | None = None,
) -> Rows:
    """Group codes around representatives, none further than `radius` bits from its own.

    Joining all that is near to anything in the group would chain pictures together that have
    nothing in common. Here rows are visited by rank: a row that nobody has taken represents a
    group and takes every free row within the radius. So each row is within `radius` of what
    stands for it, and no two that stand for groups are within `radius` of each other.

    Args:
        codes: Packed uint8 (n, bits / 8).
        informative: bool (n,), as `informative_codes` gives; other rows stay alone.
        rank: (n,) integers, the lowest is visited first, the first row among equals.
        radius: As in `near_pairs`.
        confirm: Given pairs of rows (p, 2) with near codes, says of each whether it counts;
            without it all do. Equal codes always count.

    Returns:
        int64 (n,): the row that stands for each, of the lowest rank in its group.

    Raises:
        UserError: As `near_pairs` does.
    """
    best = _best_of_group(exact_groups(codes, informative), rank)
    rows = np.argsort(rank, kind="stable")
    rows = rows[informative[rows] & (best[rows] == rows)]
    pairs = near_pairs(codes[rows], radius)
    if confirm is not None:
        pairs = pairs[confirm(rows[pairs])]
    groups = np.arange(len(codes))
    groups[rows] = rows[_representatives(pairs, len(rows))]
    return groups[best]


def _representatives(pairs: Rows, n: int) -> Rows:
    """What stands for each of n rows in the order of rank, given their near pairs, sorted."""
    stands = list(range(n))
    for low in range(0, len(pairs), _BLOCK):
        for one, other in pairs[low : low + _BLOCK].tolist():
            # All pairs that could have taken `one` came before.
            if stands[one] == one and stands[other] == other:
                stands[other] = one
    return np.array(stands, dtype=np.int64)


def choose_kept(groups: Rows, rank: npt.NDArray[np.int64]) -> Rows:
    """Keep one row of each group: the lowest rank, the first row among equals.

    Args:
        groups: int64 (n,), from `exact_groups` or `near_groups`.
        rank: (n,) integers: what the caller would rather keep has the lower one.

    Returns:
        `duplicate_of`, int64 (n,): the kept row that makes this one superfluous, -1 if it is kept.
    """
    best = _best_of_group(groups, rank)
    best[best == np.arange(len(best))] = -1
    return best


def _best_of_group(groups: Rows, rank: npt.NDArray[np.int64]) -> Rows:
    """The row of the lowest rank in each row's group: int64 (n,)."""
    if rank.shape != groups.shape:
        raise UserError(f"{rank.shape} ranks for {len(groups)} rows")
    order = np.argsort(rank, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    lowest = np.full_like(place, len(place))
    np.minimum.at(lowest, groups, place)
    return order[lowest[groups]]
