"""Whether codes can be trusted, to be asked before anything is removed on their word.

An autoencoder whose units have died gives every picture the same few codes. Recall is then
perfect, and nearly the whole data set would be removed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dcgan_models.dedup.codes import (
    Codes,
    activation_rates,
    bit_entropies,
    check_codes,
    informative_codes,
    random_pairs,
)
from dcgan_models.dedup.grouping import exact_groups
from dcgan_models.errors import UserError


@dataclass(frozen=True)
class CodeBounds:
    """What `judge_codes` asks of codes.

    The defaults are far from what healthy codes of photographs show (95% distinct or more, no
    constant bit, a mean entropy above 0.9) and as far from a collapse (a handful of codes).

    Attributes:
        distinct: Lowest share of distinct codes among informative ones. The paper removed 9%.
        constant: A bit active in less than this share of the rows is dead, in more than
            1 - `constant` always on.
        constant_bits: Highest share of dead and always-on bits.
        bit_entropy: Lowest mean entropy of a bit, in bits.
        code_entropy: Lowest entropy of the codes, as a share of log2(n), its greatest value.
        random_pairs: Highest number of equal pairs that chance alone is expected to make.
        uninformative: Highest share of rows with too few active bits to compare.
    """

    distinct: float = 0.5
    constant: float = 0.001
    constant_bits: float = 0.25
    bit_entropy: float = 0.4
    code_entropy: float = 0.8
    random_pairs: float = 1.0
    uninformative: float = 0.1


@dataclass(frozen=True)
class CodeReport:
    """What `judge_codes` found.

    Attributes:
        rows, bits: Number of codes, and bits of each.
        uninformative: Rows with fewer active bits than asked; the next three leave them out.
        distinct: Different codes.
        largest: Rows that share the commonest code.
        code_entropy: Entropy of the distribution of codes, in bits; at most log2(rows).
        dead, always_on: Bits that are hardly ever, or nearly always, active.
        mean_bit_entropy: Mean over bits, in [0, 1].
        random_pairs: Pairs of equal codes expected if bits were independent.
        failures: One sentence for each bound that is broken; empty for trusted codes.
    """

    rows: int
    bits: int
    uninformative: int
    distinct: int
    largest: int
    code_entropy: float
    dead: int
    always_on: int
    mean_bit_entropy: float
    random_pairs: float
    failures: tuple[str, ...]

    @property
    def trusted(self) -> bool:
        """Whether every bound holds."""
        return not self.failures


def judge_codes(codes: Codes, min_active_bits: int, bounds: CodeBounds | None = None) -> CodeReport:
    """Measure codes against bounds.

    Args:
        codes: Packed uint8 (n, bits / 8), at least two rows.
        min_active_bits: As in `informative_codes`.
        bounds: What is asked; `CodeBounds()` by default.

    Raises:
        UserError: The codes are not packed, or fewer than two.
    """
    check_codes(codes)
    if len(codes) < 2:
        raise UserError(f"{len(codes)} codes cannot be judged, at least 2 are needed")
    bounds = bounds or CodeBounds()
    # Codes with too few active bits are never compared, so groups are counted without them.
    rates = activation_rates(codes)
    informative = informative_codes(codes, min_active_bits)
    sizes = _group_sizes(codes[informative])
    shares = sizes / max(1, sizes.sum())
    found = CodeReport(
        rows=len(codes),
        bits=len(rates),
        uninformative=int((~informative).sum()),
        distinct=len(sizes),
        largest=int(sizes.max(initial=0)),
        code_entropy=float(-(shares * np.log2(shares)).sum()) + 0.0,
        dead=int((rates < bounds.constant).sum()),
        always_on=int((rates > 1 - bounds.constant).sum()),
        mean_bit_entropy=float(bit_entropies(rates).mean()),
        random_pairs=random_pairs(rates, len(codes)),
        failures=(),
    )
    return replace(found, failures=_failures(found, bounds))


def _group_sizes(codes: Codes) -> npt.NDArray[np.int64]:
    """How many rows share each distinct code: int64 (distinct,)."""
    everything = np.ones(len(codes), np.bool_)
    sizes = np.bincount(exact_groups(codes, everything))
    return sizes[sizes > 0]


def _failures(found: CodeReport, bounds: CodeBounds) -> tuple[str, ...]:
    """One sentence for each broken bound."""
    compared = found.rows - found.uninformative
    distinct = found.distinct / max(1, compared)
    constant = (found.dead + found.always_on) / found.bits
    entropy = found.code_entropy / math.log2(found.rows)
    uninformative = found.uninformative / found.rows
    checks = [
        (
            uninformative <= bounds.uninformative,
            f"{uninformative:.1%} of the codes have too few active bits to compare, "
            f"at most {bounds.uninformative:.1%} may",
        ),
        (
            distinct >= bounds.distinct,
            f"{found.distinct} distinct codes among {compared}, "
            f"at least {bounds.distinct:.0%} are needed",
        ),
        (
            constant <= bounds.constant_bits,
            f"{found.dead} bits are dead and {found.always_on} always on, of {found.bits}; "
            f"at most {bounds.constant_bits:.0%} may be",
        ),
        (
            found.mean_bit_entropy >= bounds.bit_entropy,
            f"a bit has {found.mean_bit_entropy:.2f} bits of entropy on average, "
            f"at least {bounds.bit_entropy:g} are needed",
        ),
        (
            entropy >= bounds.code_entropy,
            f"the codes have {found.code_entropy:.1f} bits of entropy, "
            f"at least {bounds.code_entropy:.0%} of log2 of their number are needed",
        ),
        (
            found.random_pairs <= bounds.random_pairs,
            f"chance alone makes {found.random_pairs:.3g} equal pairs, "
            f"at most {bounds.random_pairs:g} may be expected",
        ),
    ]
    return tuple(sentence for holds, sentence in checks if not holds)
