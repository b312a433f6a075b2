"""Published networks that come back out of the history, and what goes into it.

Whatever publishes networks calls `remember` for what stands before and after, under the locks of
their places. So the history has all that was ever replaced, also what `dvc pull` had brought.

Two places cannot be swapped at once. While networks come back, the record of the first asset bears,
in the place of its fingerprint, which publication that is: nothing takes the pair for up to date
until both are in, and whoever makes the step next brings the rest back first.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.publications import (
    DamagedError,
    History,
    Publication,
    number_on_its_way,
    on_its_way,
)
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import Meta
from dcgan_assets.engine.terminal import say
from dcgan_models.errors import UserError

# Metadata of networks that came back: when, and in whose place.
ROLLED_BACK = "rolled_back"


def remember(catalogue: Catalogue, step: Step) -> None:
    """`take_in`, as whatever publishes calls it: networks that are damaged it may replace."""
    try:
        take_in(catalogue, step)
    except DamagedError as error:
        say(f"{step.key}: not kept in the history: {error}", wrong=True)


def take_in(catalogue: Catalogue, step: Step) -> None:
    """Keep the networks that stand, where the history has not got them as they are.

    Raises:
        DamagedError: A file of them is not what its record says.
        UserError: `history` is no folder.
        OSError: As the disk says it.
    """
    if not catalogue.decides(step):
        return
    metas = standing_together(catalogue, step)
    history = History(catalogue.store.root)
    if metas is not None:
        history.keep(metas, _places(catalogue, step), published=metas[0].created, once=True)


def share_with_history(catalogue: Catalogue, step: Step) -> None:
    """Let what stands and its copy in the history be the same bytes on disk, where DVC parted them.

    It saves room and nothing else, so that a disk which will not have it stops nothing.
    """
    metas = standing_together(catalogue, step) if catalogue.decides(step) else None
    if metas is None:
        return
    try:
        History(catalogue.store.root).share(metas, _places(catalogue, step))
    except (OSError, UserError) as error:
        say(f"{step.key}: its files lie twice on disk: {error}")


def _places(catalogue: Catalogue, step: Step) -> dict[str, Path]:
    return {key: catalogue.store.folder(catalogue.artefact(key)) for key in step.outputs}


def standing_together(catalogue: Catalogue, step: Step) -> list[Meta] | None:
    """The records of a step's outputs, where all are there and of one publication."""
    metas = [catalogue.store.meta(catalogue.artefact(key)) for key in step.outputs]
    whole = [meta for meta in metas if meta is not None and not number_on_its_way(meta)]
    same = len({meta.fingerprint for meta in whole}) == 1
    return whole if same and len(whole) == len(metas) else None


def bring_back(catalogue: Catalogue, step: Step, publication: Publication) -> list[Meta]:
    """Publish what a publication holds once more; the records under which it stands now.

    Raises:
        UserError: A file of it is missing or damaged, or it was removed meanwhile. Nothing has
            changed then.
    """
    with ExitStack() as stack:
        folders = {
            key: stack.enter_context(catalogue.store.writing(catalogue.artefact(key)))
            for key in step.outputs
        }
        remember(catalogue, step)
        return _swap_in(catalogue, step, folders, publication)


def finish(catalogue: Catalogue, step: Step, folders: Mapping[str, Path]) -> list[Meta] | None:
    """Bring back the rest of what a killed process had begun to; None where there was nothing.

    Args:
        folders: To build the outputs in, from `Store.writing`.

    Raises:
        UserError: The publication has gone since, or a file of it.
    """
    first = catalogue.store.meta(catalogue.artefact(step.key))
    number = number_on_its_way(first)
    if number is None:
        return None
    return _swap_in(
        catalogue, step, folders, History(catalogue.store.root).read(step.group, number)
    )


def _swap_in(
    catalogue: Catalogue, step: Step, folders: Mapping[str, Path], publication: Publication
) -> list[Meta]:
    store, history = catalogue.store, History(catalogue.store.root)
    then = {meta.key: meta for meta in publication.records}
    for key, folder in folders.items():
        history.fill(then[key], folder)
        if store.content_version(folder) != then[key].data_version:
            raise UserError(f"{publication.label}: {key} is not of the version that it says")
    # The first is swapped first, so that the record of the last one says what stood.
    place = store.meta(catalogue.artefact(step.outputs[-1]))
    metas = [_as_back(catalogue, then[key], place, publication) for key in step.outputs]
    for meta in metas:
        waits = meta.key == step.key and len(metas) > 1
        mark = {"fingerprint": on_its_way(publication)} if waits else {}
        artefact = catalogue.artefact(meta.key)
        with history.held(publication) if waits else nullcontext():
            store.publish(folders[meta.key], artefact, meta.model_copy(update=mark))
    if len(metas) > 1:
        store.amend(catalogue.artefact(step.key), metas[0])
    history.keep(metas, _places(catalogue, step), seed=publication.seed)
    return metas


def _as_back(
    catalogue: Catalogue, then: Meta, place: Meta | None, publication: Publication
) -> Meta:
    """The record of what comes back: that of then, in the place of what stands now.

    With the fingerprint of now it stands until there is another candidate.
    """
    now = catalogue.store.meta(catalogue.artefact(then.key))
    left = f"from {now.data_version[:8]} " if now and now.data_version != then.data_version else ""
    today = datetime.now(UTC).isoformat(timespec="seconds")
    was = publication.decision.rpartition(": ")[2]
    decision = f"rolled back to publication {publication.number}: {was}"
    said = {
        "decision": decision,
        ROLLED_BACK: f"{left}by hand, {today}",
        shown.SUMMARY: decision,
    }
    names = ("code_version", "fingerprint", "inputs", "seed", "params_seed")
    kept = {name: getattr(place, name) for name in names} if place is not None else {}
    return then.model_copy(update={**kept, "metadata": {**then.metadata, **shown.encode(said)}})
