"""What became of a step's inputs: how many were kept, and why the others were not.

Said in one way by everything that reads pictures, in its checks and on the terminal. It decides
nothing of what is in an artefact, so it is no part of code versions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcgan_assets.engine.step import Check, Verdict
from dcgan_assets.sources.web.wanted import Reason

if TYPE_CHECKING:
    import pyarrow as pa

SOME_KEPT = Check("some_kept", "Not every input was rejected.", required=True)
FEW_REJECTED = Check("few_rejected", "A tenth of the inputs or fewer were rejected.")
INTAKE_CHECKS = (SOME_KEPT, FEW_REJECTED)

_TENTH = 0.1
# A part with fewer inputs says little of the whole, which is judged where all parts are read.
_ENOUGH = 100
_SHOWN = 3
_NO_FAULTS = {Reason.REMOVED, Reason.SAME_ADDRESS, Reason.SAME_SHA1, Reason.SAME_CONTENT}


@dataclass(frozen=True)
class Intake:
    """Counts of inputs.

    Attributes:
        kept: Inputs that were kept.
        reasons: Rejected ones by kind of reason.
        whole: Whether these are all inputs, and not those of one shard of several.
    """

    kept: int
    reasons: Mapping[str, int]
    whole: bool = True

    @classmethod
    def of(cls, table: pa.Table) -> Intake:
        """The counts of all of a group's manifest, or of a small source's: its column `reason`."""
        reasons = Counter(
            reason.partition(":")[0] for reason in table["reason"].drop_null().to_pylist()
        )
        return cls(table["reason"].null_count, reasons)

    @property
    def rejected(self) -> int:
        """Inputs that were not kept."""
        return sum(self.reasons.values())

    @property
    def words(self) -> str:
        """As `57 kept, 3 rejected (2 no picture, 1 empty)`, the commonest reasons first."""
        if not self.rejected:
            return f"{self.kept:,} kept"
        return f"{self.kept:,} kept, {self.rejected:,} rejected ({self._why})"

    def judge(self, most: float = _TENTH) -> tuple[Verdict, ...]:
        """Judge `INTAKE_CHECKS`.

        Copies, and what somebody asked to have removed, are no faults. Where something is to be
        removed, the rest is published whatever it is: what was published before would stay.

        Args:
            most: Share of the inputs that may be rejected.
        """
        faults = sum(n for reason, n in self.reasons.items() if reason not in _NO_FAULTS)
        inputs = self.kept + faults
        judged = inputs > 0 and (self.whole or inputs >= _ENOUGH)
        removing = Reason.REMOVED in self.reasons
        share = faults / max(1, inputs)
        counts = {"inputs": self.kept + self.rejected, "rejected": self._why or "none"}
        bound = {"at most": most, "share": round(share, 3)}
        return (
            Verdict(SOME_KEPT.name, self.kept > 0 or removing or not judged, counts),
            Verdict(FEW_REJECTED.name, share <= most or not judged, bound),
        )

    @property
    def _why(self) -> str:
        ordered = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
        shown = [f"{count:,} {reason}" for reason, count in ordered[:_SHOWN]]
        others = sum(count for _, count in ordered[_SHOWN:])
        return ", ".join([*shown, *([f"{others:,} for other reasons"] if others else [])])
