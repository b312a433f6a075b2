"""Binary codes of pictures: what their bits do, and the collisions that chance makes.

Codes are packed: uint8 (n, bits / 8), the bits in the order of `numpy.packbits`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dcgan_models.errors import UserError

Codes = npt.NDArray[np.uint8]

_BITS_OF_BYTES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)  # (256, 8)


def check_codes(codes: Codes) -> None:
    """Raise `UserError` unless codes are uint8 (n, bits / 8)."""
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] == 0:
        raise UserError(
            f"codes are {codes.dtype} {codes.shape}, packed uint8 (n, bits / 8) are needed"
        )


def words(codes: Codes) -> npt.NDArray[np.uint64]:
    """The same bits as uint64 (n, ceil(bits / 64)), the last word filled up with zeros."""
    check_codes(codes)
    n, width = codes.shape
    if width % 8 == 0:
        return np.ascontiguousarray(codes).view(np.uint64)
    padded = np.zeros((n, -(-width // 8) * 8), np.uint8)
    padded[:, :width] = codes
    return padded.view(np.uint64)


def active_bits(codes: Codes) -> npt.NDArray[np.int64]:
    """How many bits of each code are set: int64 (n,)."""
    counts: npt.NDArray[np.int64] = np.bitwise_count(words(codes)).sum(axis=1, dtype=np.int64)
    return counts


def hamming(one: Codes, other: Codes) -> npt.NDArray[np.int64]:
    """Differing bits, row by row: int64 (n,) for two stacks of n codes."""
    differing = np.bitwise_count(words(one) ^ words(other))
    counts: npt.NDArray[np.int64] = differing.sum(axis=1, dtype=np.int64)
    return counts


def informative_codes(codes: Codes, min_active_bits: int) -> npt.NDArray[np.bool_]:
    """Rows that may be compared, bool (n,): a code with hardly an active bit is no evidence.

    Blank pictures all have the empty code and would be one large false group.
    """
    return active_bits(codes) >= min_active_bits


def activation_rates(codes: Codes) -> npt.NDArray[np.float64]:
    """Share of rows in which each bit is set: float64 (bits,)."""
    check_codes(codes)
    if not len(codes):
        raise UserError("no codes: activation rates need at least one")
    counts = [np.bincount(column, minlength=256) @ _BITS_OF_BYTES for column in codes.T]
    return np.concatenate(counts) / len(codes)


def active_histogram(codes: Codes) -> npt.NDArray[np.int64]:
    """How many rows have 0, 1, ... bits set: int64 (bits + 1,)."""
    check_codes(codes)
    return np.bincount(active_bits(codes), minlength=codes.shape[1] * 8 + 1)


def bit_entropies(rates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Entropy of bits that are set with these probabilities, in bits: float64 of the same shape."""
    both = np.stack([rates, 1 - rates])
    logs = np.log2(both, out=np.zeros_like(both), where=both > 0)
    entropies: npt.NDArray[np.float64] = -(both * logs).sum(axis=0)
    return entropies


def random_pairs(rates: npt.NDArray[np.float64], n: int) -> float:
    """Pairs of equal codes expected among `n` pictures with nothing in common.

    n (n - 1) / 2 pairs, each equal in bit i with probability p^2 + (1 - p)^2. Bits are taken as
    independent; real ones are not, so that this is a lower bound.
    """
    same = np.square(rates) + np.square(1 - rates)
    return math.comb(n, 2) * float(np.prod(same))
