"""The quality gate: whether a candidate takes the champion's place, and the sentence that says why.

A measure of quality, lower is better, is taken of each generator with the same real pictures and
the same seeds. The candidate is held against the best champion that the group ever recorded,
measured again on these pictures: were it held against the last one, every retraining might lose
a little more than the one before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dcgan_models.errors import UserError


@dataclass(frozen=True)
class Contender:
    """A generator as the gate sees it.

    Attributes:
        name: In the reason: `candidate`, `champion`, `best recorded champion`.
        scores: The measure for each seed of the samples, lower is better, in the order of the
            seeds, which is the same for all contenders.
        failed: Names of the health checks that it failed.
        copied: Lower bound of the share of its samples that copy training pictures.
    """

    name: str
    scores: tuple[float, ...]
    failed: tuple[str, ...] = ()
    copied: float = 0.0

    @property
    def mean(self) -> float:
        """Mean score over the seeds."""
        return sum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class Rule:
    """What the gate allows.

    Attributes:
        measure: Name of the measure, for the reason.
        margin: By which share of the reference's score a candidate may be worse.
        floor: The measure for real pictures against other real ones. Where a reference is as
            good as that, the margin is a share of the floor: of 0 every share would be 0.
        copied: Share of copied samples above which a generator has memorised its training set.
    """

    measure: str
    margin: float
    floor: float = 0.0
    copied: float = 0.1


@dataclass(frozen=True)
class Decision:
    """What the gate decided.

    Attributes:
        publish: Whether the candidate is published.
        reason: One sentence, for the metadata.
        loss: How much worse than the reference, in units of the measure; None without one.
        allowed: How much worse it might have been; None without a reference.
    """

    publish: bool
    reason: str
    loss: float | None = None
    allowed: float | None = None


def decide(
    candidate: Contender,
    champion: Contender | None,
    best: Contender | None,
    rule: Rule,
) -> Decision:
    """Publish the candidate, or keep what is published.

    Args:
        candidate: What was trained.
        champion: What is published; None where nothing is.
        best: The best champion on record, measured now; None where it is the champion itself or
            its weights are not at hand.
        rule: What is allowed.

    Raises:
        UserError: Contenders have not the same number of scores, or a champion's is not finite.
    """
    references = [one for one in (champion, best) if one is not None]
    _check([candidate, *references])
    if candidate.failed:
        return Decision(False, f"the candidate is unhealthy: {', '.join(candidate.failed)}")
    if not all(map(math.isfinite, candidate.scores)):
        return Decision(False, f"the candidate's {rule.measure} is not finite")
    if candidate.copied > rule.copied:
        return Decision(
            False,
            f"the candidate copies its training set: at least {candidate.copied:.0%} of its "
            f"samples, {rule.copied:.0%} are tolerated",
        )
    if not references:
        return Decision(True, f"a healthy candidate and no champion ({_scored(candidate, rule)})")
    # The lower mean: the champion may have passed the record since it was written.
    reference = min(references, key=lambda one: one.mean)
    return _compare(candidate, reference, rule)


def _compare(candidate: Contender, reference: Contender, rule: Rule) -> Decision:
    noise = seed_noise(candidate.scores, reference.scores)
    allowed = rule.margin * max(reference.mean, rule.floor) + noise
    loss = candidate.mean - reference.mean
    publish = loss <= allowed
    verdict = "not worse" if publish else "worse"
    reason = (
        f"the candidate is {verdict} than the {reference.name} by more than the margin: "
        f"{rule.measure} {candidate.mean:.4g} against {reference.mean:.4g}, allowed "
        f"{reference.mean + allowed:.4g} ({rule.margin:.0%} and {noise:.2g} of seed noise)"
    )
    return Decision(publish, reason, loss, allowed)


def seed_noise(one: Sequence[float], other: Sequence[float]) -> float:
    """Half width of the two-sided 95% interval of the mean difference over seeds.

    The scores are paired: what a seed's pictures make easier, they make easier for both. With one
    seed nothing is known of the noise, and none is allowed for.
    """
    # Takes most of a second to load, and the asset graph loads this module.
    from scipy.stats import t as student_t

    differences = [a - b for a, b in zip(one, other, strict=True)]
    n = len(differences)
    if n == 1:
        return 0.0
    mean = sum(differences) / n
    variance = sum((value - mean) ** 2 for value in differences) / (n - 1)
    return float(student_t.ppf(0.975, n - 1)) * math.sqrt(variance / n)


def _check(contenders: Sequence[Contender]) -> None:
    counts = {one.name: len(one.scores) for one in contenders}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise UserError(
            f"gate: scores for {counts} seeds; all contenders need the same, at least one"
        )
    for one in contenders[1:]:
        if not all(map(math.isfinite, one.scores)):
            raise UserError(f"gate: the {one.name}'s scores are {one.scores}; all must be finite")


def _scored(one: Contender, rule: Rule) -> str:
    return f"{rule.measure} {one.mean:.4g}"
