"""The quality gate: whether a candidate takes the champion's place, and the sentence that says why.

A measure of quality, lower is better, is taken of each generator with the same real pictures and
the same seeds. The candidate is held against the champion and against the best champion that the
group ever recorded, measured again on these pictures: were it held against the last one alone,
every retraining might lose a little more than the one before.

It is a test. That the candidate is worse by more than the margin is what must be refuted, at the
level of 5%: it is published where the upper bound of its loss is within the margin. How many sets
of samples that takes follows from how much the first few of them scatter, so that the bound is no
further from the loss than half of the margin (Stein, 1945: the scatter is estimated by the first
sets alone, and the bound then holds for however many there are in the end).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dcgan_models.errors import UserError

LEVEL = 0.05
"""How often a candidate that is worse by just the margin is published at most."""


@dataclass(frozen=True)
class Contender:
    """A generator that the gate compares: its scores and its faults.

    Attributes:
        name: In the reason: `candidate`, `champion`, `best recorded champion`.
        scores: The measure for each set of samples, lower is better, in the order of their seeds,
            which are the same for all contenders.
        failed: Names of the health checks that it failed.
        copied: Lower bound of the share of its samples that copy training pictures.
    """

    name: str
    scores: tuple[float, ...]
    failed: tuple[str, ...] = ()
    copied: float = 0.0

    @property
    def mean(self) -> float:
        """Mean score over the sets."""
        return sum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class Rule:
    """How much worse than the published one a candidate may be, and how much it may copy.

    Attributes:
        measure: Name of the measure, for the reason.
        margin: By which share of a reference's score a candidate may be worse.
        floor: The measure for real pictures against other real ones. Where a reference is as
            good as that, the margin is a share of the floor: of 0 every share would be 0.
        copied: Share of copied samples above which a generator has memorised its training set.
        sets: First sets of samples, by whose scatter it is known how many are needed; at least 2.
        most_sets: No more than so many are drawn.
    """

    measure: str
    margin: float
    floor: float = 0.0
    copied: float = 0.1
    sets: int = 10
    most_sets: int = 200


@dataclass(frozen=True)
class Loss:
    """How much worse a candidate is than a reference, in units of the measure.

    Attributes:
        reference: What it is held against.
        mean: Over the sets; below 0 where the candidate is better.
        noise: From the mean to the upper bound.
        allowed: The margin.
    """

    reference: Contender
    mean: float
    noise: float
    allowed: float

    @property
    def upper(self) -> float:
        """The true loss is below, but in one of twenty comparisons."""
        return self.mean + self.noise

    @property
    def resolved(self) -> bool:
        """Whether the noise is no more than half of the margin."""
        return self.noise <= self.allowed / 2


@dataclass(frozen=True)
class Decision:
    """Whether the candidate is published, and why.

    Attributes:
        publish: Whether the candidate is published.
        reason: One sentence, for the metadata.
        loss: Against the reference that decided; None where nothing was compared.
    """

    publish: bool
    reason: str
    loss: Loss | None = None


def decide(candidate: Contender, references: Sequence[Contender], rule: Rule) -> Decision:
    """Publish the candidate, or keep what is published.

    Args:
        candidate: What was trained.
        references: The champion, and the best one on record where that is another; none where
            nothing is published.
        rule: What is allowed.

    Raises:
        UserError: Contenders have not the same number of scores, or a reference's is not finite.
    """
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
    _check([candidate, *references])
    if not references:
        scored = f"{rule.measure} {candidate.mean:.4g}"
        return Decision(True, f"a healthy candidate and no champion ({scored})")
    # Within the margin of each: the one that it is furthest from decides.
    losses = [loss_against(one, candidate, rule) for one in references]
    loss = max(losses, key=lambda one: one.upper - one.allowed)
    return Decision(loss.upper <= loss.allowed, _reason(candidate, loss, rule), loss)


def loss_against(reference: Contender, candidate: Contender, rule: Rule) -> Loss:
    """The candidate's loss and its upper bound, paired over the sets.

    What a set's seed makes easier, it makes easier for both. The scatter is that of the first
    `rule.sets` differences alone, whose count does not hang on it.

    Args:
        reference, candidate: With as many scores, at least two; all finite.
        rule: The margin, and how many sets were the first.
    """
    # Takes most of a second to load, and the asset graph loads this module.
    from scipy.stats import t as student_t

    differences = [a - b for a, b in zip(candidate.scores, reference.scores, strict=True)]
    first = differences[: rule.sets]
    mean = sum(first) / len(first)
    variance = sum((value - mean) ** 2 for value in first) / (len(first) - 1)
    quantile = float(student_t.ppf(1 - LEVEL, len(first) - 1))
    return Loss(
        reference,
        sum(differences) / len(differences),
        quantile * math.sqrt(variance / len(differences)),
        rule.margin * max(reference.mean, rule.floor),
    )


def score_sets(
    names: Iterable[str], score: Callable[[str, int], float], rule: Rule
) -> dict[str, tuple[float, ...]]:
    """Score sets of samples of the candidate and its references, as many as the margin takes.

    Without a reference there is nothing to resolve, and one set is scored.

    Args:
        names: The candidate's first, then the references'.
        score: Scores the set of this number, from 0, of the generator of this name. Its noise
            must be independent from set to set. NaN where it cannot be computed.
        rule: The margin, and how many sets at first and at most.

    Returns:
        For each name its scores, all of the same number.
    """
    candidate, *references = names
    scores: dict[str, list[float]] = {name: [] for name in (candidate, *references)}

    def go_on(until: int) -> None:
        for number in range(len(scores[candidate]), until):
            for name, known in scores.items():
                known.append(score(name, number))

    go_on(1)
    if references and math.isfinite(scores[candidate][0]):
        go_on(rule.sets)
        known = {name: Contender(name, tuple(values)) for name, values in scores.items()}
        needed = [_sets_needed(known[one], known[candidate], rule) for one in references]
        go_on(max(needed))
    return {name: tuple(values) for name, values in scores.items()}


def _sets_needed(reference: Contender, candidate: Contender, rule: Rule) -> int:
    """How many sets bring the noise of the first ones to half of the margin."""
    if not all(map(math.isfinite, candidate.scores)):
        return rule.sets
    loss = loss_against(reference, candidate, rule)
    if loss.resolved:
        return rule.sets
    if loss.allowed <= 0:
        return rule.most_sets
    # The margin itself is known as well as the reference is: some sets more make sure of it.
    needed = 1.1 * len(candidate.scores) * (2 * loss.noise / loss.allowed) ** 2
    return min(math.ceil(needed), rule.most_sets)


def _reason(candidate: Contender, loss: Loss, rule: Rule) -> str:
    name, sets = loss.reference.name, len(candidate.scores)
    if loss.upper <= loss.allowed:
        verdict = f"the candidate is within the margin of the {name}"
    elif loss.mean - loss.noise > loss.allowed:
        verdict = f"the candidate is worse than the {name} by more than the margin"
    else:
        verdict = f"it cannot be told whether the candidate is within the margin of the {name}"
    return (
        f"{verdict}: {rule.measure} {candidate.mean:.4g} against {loss.reference.mean:.4g}, "
        f"a loss of {loss.upper:.3g} at most where {loss.allowed:.3g} ({rule.margin:.0%}) is "
        f"allowed, {sets} sets of samples"
    )


def _check(contenders: Sequence[Contender]) -> None:
    counts = {one.name: len(one.scores) for one in contenders}
    least = min(2, len(contenders))
    if len(set(counts.values())) > 1 or min(counts.values()) < least:
        raise UserError(
            f"gate: scores for {counts} sets of samples; all contenders need the same number, at "
            f"least {least}"
        )
    for one in contenders[1:]:
        if not all(map(math.isfinite, one.scores)):
            raise UserError(f"gate: the {one.name}'s scores are {one.scores}; all must be finite")
