"""The steps of a workspace by key: their sections, shards, licence, and what they read."""

from __future__ import annotations

from pathlib import Path

from dcgan_assets.engine.exchange import Exchange
from dcgan_assets.engine.step import Reading, Step
from dcgan_assets.engine.store import Artefact, Licence, Store
from dcgan_assets.engine.versions.code import code_version
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.base import Section
from dcgan_assets.params.pictures import MADE_HERE

# Sources that come with packages under licences that let anyone pass the pictures on, or are drawn.
_PACKAGED = {"packaged", "stand_in", *MADE_HERE}


class Catalogue:
    """The steps of a workspace, by the keys of what they make.

    Args:
        place: Where artefacts lie, if not in the root.
    """

    def __init__(
        self, workspace: Workspace, steps: tuple[Step, ...], place: Path | None = None
    ) -> None:
        self.workspace = workspace
        self.steps = steps
        exchange = workspace.params.machine.exchange
        shared = place is None and exchange != "folder"
        self.store = Store(place or workspace.root, Exchange(exchange) if shared else None)
        self.by_key = {key: step for step in steps for key in step.outputs}

    def section(self, step: Step) -> Section:
        """The step's part of params.yaml."""
        return self.workspace.params.section(step.section)

    def reading(self, step: Step, shard: str | None = None) -> Reading:
        """What the step's `shards`, `files` and `source_version` are called with."""
        workspace = self.workspace
        return Reading(step, self.section(step), workspace.params, workspace.root, shard)

    def shards(self, step: Step) -> tuple[str | None, ...]:
        """The step's shards; a single None for an asset in one piece."""
        return step.shards(self.reading(step)) if step.shards else (None,)

    def partition(self, step: Step, shard: str | None) -> str | None:
        """The partition that Dagster knows a shard as; None where it is the only one.

        A sole shard is an asset in one piece to Dagster, which would else ask for a choice among
        one wherever the asset is made. On disk it is a shard like others.
        """
        return shard if len(self.shards(step)) > 1 else None

    def code_version(self, step: Step) -> str:
        """The step's code version, its resolved section included."""
        return code_version(step.compute, self.section(step).identity())

    def files(self, step: Step) -> tuple[str, ...]:
        """What the step reads beside other assets: paths that are absolute or relative to the root.

        A file that may be absent is among them only where it is there.
        """
        return step.files(self.reading(step)) if step.files else ()

    def decides(self, step: Step) -> bool:
        """Whether a step chooses between a candidate and what it published before."""
        return not step.transient and any(self.by_key[key].transient for key in step.inputs)

    def artefact(self, key: str, shard: str | None = None) -> Artefact:
        """The address of an asset, or of one shard of it."""
        return Artefact(key, self.by_key[key].kind, shard)

    def licence(self, step: Step) -> Licence:
        """Whether what a step makes may be given to others, as a committed remote does.

        Networks and scores are ours. Pictures are others', and so is a result that shows them,
        unless they came with a package that may be passed on itself.
        """
        if step.kind == "data":
            return "open" if step.passes_on else "restricted"
        if not step.shows_pictures:
            return "open"
        data = [source for source in self._sources_of(step) if source.kind == "data"]
        sources = {getattr(self.section(source), "source", None) for source in data}
        return "open" if sources <= _PACKAGED else "restricted"

    def _sources_of(self, step: Step) -> list[Step]:
        """The steps at the beginning of the graph from which a step comes."""
        read = (*step.inputs, *step.if_there)
        return [s for key in read for s in self._sources_of(self.by_key[key])] if read else [step]

    def read_by(self, step: Step, shard: str | None) -> dict[str, list[Artefact]]:
        """The artefacts that a step reads, by key: the same shard where both are sharded."""
        own = self.shards(step)
        read: dict[str, list[Artefact]] = {}
        for key in (*step.inputs, *step.if_there):
            theirs = self.shards(self.by_key[key])
            same = shard is not None and theirs == own
            read[key] = [self.artefact(key, s) for s in ((shard,) if same else theirs)]
        return read
