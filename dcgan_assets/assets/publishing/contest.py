"""How candidate and champions were measured, and what follows: what publishing decides by."""

from __future__ import annotations

import filecmp
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcgan_assets.engine.store import META_FILE
from dcgan_models.files import read_json, write_json
from dcgan_models.metrics.gate import Contender, Decision, Loss, Rule, decide, loss_against

CANDIDATE, CHAMPION, BEST = "candidate", "champion", "best recorded champion"
CONTEST_FILE = "contest.json"
# Within the published generator's folder: the best champion on record, where it is another one.
BEST_FOLDER = "best"
_WEIGHTS = "weights.safetensors"


def folders_to_compare(candidate: Path, champion: Path | None) -> dict[str, Path]:
    """The folders of the candidate's generator and of those that it is held against, by name.

    Left out is who is the candidate: networks do not beat themselves.

    Args:
        candidate: Folder of its generator.
        champion: Folder of the published one, None where there is none.
    """
    references = {}
    if champion is not None:
        references = {CHAMPION: champion, BEST: champion / BEST_FOLDER}
    others = {
        name: folder
        for name, folder in references.items()
        if folder.is_dir() and not same_network(candidate, folder)
    }
    return {CANDIDATE: candidate, **others}


def same_network(one: Path, other: Path) -> bool:
    """Whether two generators' folders hold equal weights."""
    return filecmp.cmp(one / _WEIGHTS, other / _WEIGHTS, shallow=False)


@dataclass(frozen=True)
class Contest:
    """One comparison on the same pictures and seeds.

    Attributes:
        rule: What the gate allows; None where nothing was measured.
        contenders: By name; the candidate without its health checks, which are not ours. The
            champion is missing where it is the candidate, or draws other sizes.
        champion_version: Data version of the generator that was published then; None for none.
        unmeasured: Why what was measured does not say which is better, or nothing was; else empty.
        publish_unmeasured: Whether a candidate replaces a champion all the same.
    """

    rule: Rule | None
    contenders: dict[str, Contender]
    champion_version: str | None
    unmeasured: str = ""
    publish_unmeasured: bool = False

    def decide(self, failed: tuple[str, ...], *, champion: bool, same: bool = False) -> Decision:
        """Let the gate decide.

        Args:
            failed: Health checks that the candidate failed.
            champion: Whether a champion is published.
            same: Whether it is the candidate.
        """
        if failed:
            return Decision(False, f"the candidate is unhealthy: {', '.join(failed)}")
        if same:
            return Decision(True, "the candidate and the champion are the same network")
        if self.unmeasured or self.rule is None:
            return self._decide_unmeasured(champion=champion)
        references = [self.contenders[name] for name in (CHAMPION, BEST) if name in self.contenders]
        return decide(self.contenders[CANDIDATE], references if champion else [], self.rule)

    def _decide_unmeasured(self, *, champion: bool) -> Decision:
        reason = f"not measured: {self.unmeasured}"
        if not champion:
            return Decision(True, f"a healthy candidate and no champion; {reason}")
        if self.publish_unmeasured:
            return Decision(True, f"a healthy candidate, {reason}; publish_unmeasured is true")
        return Decision(
            False, f"{reason}; with `publish_unmeasured: true` in params.yaml health decides"
        )

    def losses(self) -> list[Loss]:
        """The candidate's against each of its references; none where it has no finite score."""
        if self.rule is None or not all(map(math.isfinite, self.contenders[CANDIDATE].scores)):
            return []
        references = [one for name, one in self.contenders.items() if name != CANDIDATE]
        return [loss_against(one, self.contenders[CANDIDATE], self.rule) for one in references]

    def keep_best(self, champion: Path, out: Path, *, same: bool) -> None:
        """Put the best recorded champion beside what is published, where it is another one.

        Where nothing says which is better, the record stands; the first champion is one.

        Args:
            champion: The folder of the generator that was published until now.
            out: That of the candidate which takes its place.
            same: Whether both are one network: then its record stands.
        """
        standing = champion / BEST_FOLDER
        if same:
            best: str | None = BEST
        elif self.unmeasured:
            # Of the candidate nothing is known: what was best stays so.
            best = BEST if standing.is_dir() else CHAMPION
        else:
            best = self.best()
        source = champion if best == CHAMPION else standing
        if best in {CHAMPION, BEST} and source.is_dir():
            target = out / BEST_FOLDER
            target.mkdir()
            for path in source.iterdir():
                if path.is_file() and path.name != META_FILE:
                    shutil.copyfile(path, target / path.name)

    def best(self) -> str | None:
        """The name of the lowest score, None where nothing was measured."""
        scored = {name: one.mean for name, one in self.contenders.items()}
        finite = {name: mean for name, mean in scored.items() if math.isfinite(mean)}
        return min(finite, key=lambda name: finite[name]) if finite else None

    def facts(self, decision: Decision) -> dict[str, float]:
        """What a decision was made by, for the metadata."""
        if self.rule is None:
            return {}
        contenders = self.contenders.values()
        scores = {f"{one.name}: {self.rule.measure}": one.mean for one in contenders}
        loss = decision.loss
        if loss is None:
            return scores
        bounds = {"loss": loss.mean, "loss_at_most": loss.upper, "allowed": loss.allowed}
        return {**scores, **bounds, "sets": len(loss.reference.scores)}

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
                "unmeasured": self.unmeasured,
                "publish_unmeasured": self.publish_unmeasured,
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
        rest = ("champion_version", "unmeasured", "publish_unmeasured")
        return cls(rule, contenders, **{name: content[name] for name in rest})
