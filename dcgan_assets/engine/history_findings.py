"""What is wrong with the history of published networks, and what it can bring back.

Nothing here mends anything: a finding says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.going_back import standing_together
from dcgan_assets.engine.publications import HISTORY, History, Publication, number_on_its_way
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.terminal import Finding
from dcgan_models.errors import UserError

_NAMED = 3  # of many files


def examine_history(catalogue: Catalogue) -> Iterator[Finding]:
    """A finding for each group that has publications, and for what is damaged, foreign or half.

    Every file that a publication names is read.
    """
    history = History(catalogue.store.root)
    try:
        found = {group: history.publications(group) for group in history.groups()}
        digests = {d for whole, _ in found.values() for one in whole for d in one.digests}
        damaged = history.damaged(digests)
        foreign = history.foreign()
    except UserError as error:
        yield Finding("FAIL", HISTORY, str(error))
        return
    for group, (publications, wrong) in found.items():
        yield from (Finding("FAIL", HISTORY, str(error)) for error in wrong)
        yield from _of_group(catalogue, group, publications, damaged)
    if foreign:
        yield Finding("note", HISTORY, f"not ours, and left alone: {_few(foreign)}")


def _of_group(
    catalogue: Catalogue, group: str, publications: list[Publication], damaged: dict[str, str]
) -> Iterator[Finding]:
    whole = [one for one in publications if not one.digests & damaged.keys()]
    for one in publications:
        if one not in whole:
            files = _few(sorted(damaged[digest] for digest in one.digests & damaged.keys()))
            cure = f"remove {HISTORY}/publications/{group}/{one.number}.json, then `dcgan gc`"
            yield Finding("FAIL", HISTORY, f"{one.label} cannot come back: {files}; {cure}")
    if whole:
        numbers = ", ".join(str(one.number) for one in whole)
        how = f"`dcgan rollback {group} ID` brings one back, `dcgan log {group}` tells of them"
        yield Finding("ok", HISTORY, f"publications {numbers} of {group}: {how}")
    for step in catalogue.steps:
        if step.group == group and catalogue.decides(step):
            own = [one for one in whole if one.key == step.key]
            yield from _of_step(catalogue, step, own)


def _of_step(catalogue: Catalogue, step: Step, whole: list[Publication]) -> Iterator[Finding]:
    """Whether the networks that stand are a pair as it was published; else which one may come."""
    artefacts = [catalogue.artefact(key) for key in step.outputs]
    number = number_on_its_way(catalogue.store.meta(artefacts[0]))
    if number is not None:
        half = f"the rollback to publication {number} of {step.group} was stopped half way"
        yield Finding("note", HISTORY, f"{half}; `dcgan materialize {step.key}` finishes it")
    elif whole and (
        standing_together(catalogue, step) is None
        or any(catalogue.store.verify(artefact) is not None for artefact in artefacts)
    ):
        offer = f"`dcgan rollback {step.group} {whole[-1].number}` brings back what was published"
        yield Finding("note", HISTORY, f"{', '.join(step.outputs)} do not stand whole; {offer}")


def _few(names: list[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
