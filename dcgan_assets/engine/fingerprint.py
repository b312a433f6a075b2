"""Fingerprints: what decides the content of a step's outputs, and whether it has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import Artefact, Input, Meta
from dcgan_models.errors import UserError
from dcgan_models.files import digest_json


@dataclass(frozen=True)
class Order:
    """All that would decide the content of a step's outputs if it were run now.

    Attributes:
        inputs: What is read, by label.
        fingerprint: Hash of code version, inputs and seed.
        outdated: Keys of transient inputs that are read as they lie there, though they would come
            out otherwise today.
    """

    step: Step
    shard: str | None
    outputs: tuple[Artefact, ...]
    inputs: Mapping[str, Input]
    code_version: str
    seed: int | None
    fingerprint: str
    outdated: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """The first output's label."""
        return self.outputs[0].label


def place_order(
    catalogue: Catalogue,
    step: Step,
    shard: str | None = None,
    seed: int | None = None,
    *,
    afresh: bool = False,
    recorded: Mapping[str, Input] | None = None,
) -> Order:
    """Collect all that would decide the content of a step's outputs if it were run now.

    Args:
        seed: An explicit one; else the stored one is kept until the seed in params.yaml changes.
        afresh: Whether even a `kept` step is to be made from its inputs as they are now.
        recorded: What an asset made from this one says of the inputs of both.

    Raises:
        UserError: Inputs are missing; the line names them.
    """
    # What lies there decides the seed, and of a kept step the inputs as well.
    store = catalogue.store
    outputs = tuple(catalogue.artefact(key, shard) for key in step.outputs)
    standing = store.meta(outputs[0])
    if step.seeded and seed is None:
        seed = _kept_seed(standing, catalogue.workspace.params.seed)
    version = catalogue.code_version(step)
    outdated: frozenset[str] = frozenset()
    if step.kept and not afresh and standing and standing.code_version == version:
        inputs = dict(standing.inputs)
    else:
        known = {**(standing.inputs if standing else {}), **(recorded or {})}
        inputs, outdated = _read_inputs(catalogue, step, shard, known)
    # A candidate counts with the way it was judged: other bounds may make another champion.
    judged = {key for key in step.inputs if catalogue.by_key[key].transient}
    versions = {
        label: made.fingerprint if label in judged else made.data_version
        for label, made in inputs.items()
    }
    # What tells of others tells how they were made, too.
    versions |= {
        label: f"{made.data_version} {made.fingerprint}"
        for label, made in inputs.items()
        if label.split("[")[0] in step.if_there
    }
    if step.source_version:
        versions["source"] = step.source_version(catalogue.reading(step, shard))
    fingerprint = digest_json({"code": version, "inputs": versions, "seed": seed})
    return Order(step, shard, outputs, inputs, version, seed, fingerprint, outdated)


def _read_inputs(
    catalogue: Catalogue, step: Step, shard: str | None, known: Mapping[str, Input]
) -> tuple[dict[str, Input], frozenset[str]]:
    """What a step reads, by label, and which of it is outdated.

    Raises:
        UserError: Naming what is missing.
    """
    read = catalogue.read_by(step, shard)
    needed = [a for key in step.inputs for a in read[key]]
    inputs, outdated = _stand_ins(catalogue, step, known)
    metas = catalogue.store.require([a for a in needed if a.label not in inputs])
    for artefact in (a for key in step.if_there for a in read[key]):
        meta = catalogue.store.meta(artefact)
        if meta is not None:
            metas[artefact.label] = meta
    return inputs | {label: as_input(meta) for label, meta in metas.items()}, outdated


def as_input(meta: Meta) -> Input:
    """How a published artefact is recorded in what is made from it."""
    return Input(meta.data_version, meta.fingerprint, meta.seed, meta.params_seed)


def _kept_seed(standing: Meta | Input | None, params_seed: int) -> int:
    """The seed that stands, unless params.yaml names another one since."""
    if standing is not None and standing.seed is not None and standing.params_seed == params_seed:
        return standing.seed
    return params_seed


def _stand_ins(
    catalogue: Catalogue, step: Step, known: Mapping[str, Input]
) -> tuple[dict[str, Input], frozenset[str]]:
    """Transient inputs that need not be there, as the records say that they would come out so.

    After `dvc pull` the candidates are not there, nor how they were measured; back at an older
    commit those of a later one are. Where the champion was made from a candidate whose making would
    have the same fingerprint today, nothing needs training. But one that lies there as it would be
    made today goes first: it may be to be published.

    Args:
        known: Inputs as the standing output records them, or what was made from it.

    Returns:
        What stands in, by key, and the keys of what lies there, is outdated, and has no stand-in.
    """
    found: dict[str, Input] = {}
    outdated: set[str] = set()
    for key in step.inputs:
        upstream = catalogue.by_key[key]
        current = not upstream.transient or is_current(catalogue, upstream)
        if current:
            continue
        if key in known and _would_come_out(catalogue, upstream, known):
            found[key] = known[key]
        elif current is False:
            outdated.add(key)
    return found, frozenset(outdated)


def _would_come_out(catalogue: Catalogue, step: Step, known: Mapping[str, Input]) -> bool:
    """Whether making a transient step today would give what the records name."""
    kept = _kept_seed(known[step.key], catalogue.workspace.params.seed)
    try:
        order = place_order(catalogue, step, seed=kept if step.seeded else None, recorded=known)
    except UserError:
        return False
    return not order.outdated and order.fingerprint == known[step.key].fingerprint


def standing(catalogue: Catalogue, order: Order) -> list[Meta] | None:
    """The records of an order's outputs where all are published and current, else None."""
    if order.outdated:
        return None
    metas = [catalogue.store.meta(artefact) for artefact in order.outputs]
    current = [m for m in metas if m is not None and m.fingerprint == order.fingerprint]
    return current if len(current) == len(metas) else None


def is_current(catalogue: Catalogue, step: Step) -> bool | None:
    """Whether a step's published outputs are those that a run of today would make.

    None where something lies there and it cannot be told: inputs are missing.
    """
    if any(catalogue.store.meta(catalogue.artefact(key)) is None for key in step.outputs):
        return False
    try:
        return standing(catalogue, place_order(catalogue, step)) is not None
    except UserError:
        return None
