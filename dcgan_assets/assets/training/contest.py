"""What `quality` hands to publishing: how candidate and champions were measured."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcgan_models.files import read_json, write_json
from dcgan_models.metrics.gate import Contender, Decision, Rule, decide

CANDIDATE, CHAMPION, BEST = "candidate", "champion", "best recorded champion"
CONTEST_FILE = "contest.json"
# Within the published generator's folder: the best champion on record, where it is another one.
BEST_FOLDER = "best"


@dataclass(frozen=True)
class Contest:
    """One comparison on the same pictures and seeds.

    Attributes:
        rule: What the gate allows; None where nothing could be measured.
        contenders: By name; the candidate without its health checks, which are not ours.
        champion_version: Data version of the generator that was measured as champion.
    """

    rule: Rule | None
    contenders: dict[str, Contender]
    champion_version: str | None

    def decide(self, failed: tuple[str, ...], *, champion: bool) -> Decision:
        """Let the gate decide.

        Args:
            failed: Health checks that the candidate failed.
            champion: Whether a champion is published.
        """
        if self.rule is None:
            words = f"the candidate is unhealthy: {', '.join(failed)}"
            return Decision(
                not failed,
                words if failed else "a healthy candidate; too few pictures to measure it by",
            )
        candidate = Contender(**{**vars(self.contenders[CANDIDATE]), "failed": failed})
        best = self.contenders.get(BEST) if champion else None
        standing = self.contenders.get(CHAMPION) if champion else None
        return decide(candidate, standing, best, self.rule)

    def best(self) -> str | None:
        """The name of the lowest score, None where nothing was measured."""
        scored = {name: one.mean for name, one in self.contenders.items()}
        finite = {name: mean for name, mean in scored.items() if math.isfinite(mean)}
        return min(finite, key=lambda name: finite[name]) if finite else None

    def write(self, folder: Path) -> None:
        """Write `contest.json`; a score that is not finite is null there."""
        contenders = {
            name: {
                "scores": [score if math.isfinite(score) else None for score in one.scores],
                "copied": one.copied,
            }
            for name, one in self.contenders.items()
        }
        write_json(
            folder / CONTEST_FILE,
            {
                "rule": asdict(self.rule) if self.rule else None,
                "contenders": contenders,
                "champion_version": self.champion_version,
            },
        )

    @classmethod
    def read(cls, folder: Path) -> Contest:
        """Read `contest.json`."""
        content: Any = read_json(folder / CONTEST_FILE)
        contenders = {
            name: Contender(
                name,
                tuple(math.nan if score is None else score for score in one["scores"]),
                copied=one["copied"],
            )
            for name, one in content["contenders"].items()
        }
        rule = Rule(**content["rule"]) if content["rule"] else None
        return cls(rule, contenders, content["champion_version"])
