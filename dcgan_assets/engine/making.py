"""Making an artefact: build beside its place, judge the checks, publish or fail.

A check that must stop what follows is judged before publishing and fails the step: Dagster's
blocking checks block only inside one run, and the shards of one graph are many runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.events import EngineEventData

from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import Order, standing
from dcgan_assets.engine.going_back import finish, remember
from dcgan_assets.engine.interrupts import StopFlag
from dcgan_assets.engine.records import as_released, split_label
from dcgan_assets.engine.results import RESULT_FILE, Result, hardware
from dcgan_assets.engine.served_results import FIGURES, shown_results
from dcgan_assets.engine.step import Outcome, Step
from dcgan_assets.engine.store import Artefact, Meta
from dcgan_assets.engine.terminal import progress_bar, say
from dcgan_assets.engine.versions.code import code_version
from dcgan_models.errors import UserError
from dcgan_models.files import digest_json, tree_files

if TYPE_CHECKING:
    from tqdm import tqdm

# Metadata with the page that follows a training: the newest one of an asset, or that of a run; and
# the one that made what is there. An asset's page shows both: Dagster lets one name stand once.
FOLLOWED, TRAINED = "training", "trained"


class Work:
    """What a step's function is given: section, inputs, a folder to fill, and ways to report."""

    def __init__(
        self,
        catalogue: Catalogue,
        order: Order,
        folders: Mapping[str, Path],
        context: dg.AssetExecutionContext,
        stop: StopFlag,
    ) -> None:
        self.params = catalogue.workspace.params
        self.root = catalogue.workspace.root
        self.section: Any = catalogue.section(order.step)
        self.step, self.shard = order.step, order.shard
        self.inputs = order.inputs
        self.stop = stop
        self._catalogue, self._order, self._folders = catalogue, order, folders
        self.context = context
        self.page: str | None = None  # that follows this making

    @property
    def seed(self) -> int:
        """The seed of this making; only a seeded step has one."""
        assert self._order.seed is not None  # noqa: S101  (a step without `seeded` is our bug)
        return self._order.seed

    @property
    def code_version(self) -> str:
        """The version of this step's code and parameters."""
        return self._order.code_version

    def sibling(self, name: str) -> str:
        """The key of another asset of this step's group."""
        return f"{self.step.group}/{name}"

    @property
    def around(self) -> Any:
        """The section that holds the step's own: its group, or the search that it is part of."""
        return self._catalogue.reading(self.step, self.shard).around

    @property
    def pictures(self) -> str:
        """The key of the asset that holds the group's pixels."""
        return self.sibling(self.step.pictures)

    def out(self, key: str | None = None) -> Path:
        """The folder to fill for an output, the first one by default."""
        return self._folders[key or self.step.key]

    def place(self) -> Path:
        """Where the first output will lie once it is published."""
        return self._catalogue.store.folder(self._order.outputs[0])

    def input(self, key: str) -> Path:
        """The published folder of an input."""
        return self._catalogue.store.folder(self._catalogue.artefact(key))

    def input_shards(self, key: str) -> list[Path]:
        """The published folders of a sharded input, in order."""
        read = self._catalogue.read_by(self.step, self.shard)[key]
        return [self._catalogue.store.folder(artefact) for artefact in read]

    def found(self) -> dict[str, tuple[Path, Meta]]:
        """The optional inputs that are published (`if_there`): folder and record by key."""
        there = [key for key in self.step.if_there if key in self.inputs]
        return {key: (self.input(key), self.input_meta(key)) for key in there}

    def input_meta(self, key: str) -> Meta:
        """The record of an input."""
        return self._catalogue.store.require([self._catalogue.artefact(key)])[key]

    def published(self, key: str) -> Path | None:
        """What stands in an output's place now, or None."""
        artefact = self._catalogue.artefact(key)
        store = self._catalogue.store
        if key not in self.step.outputs:  # those were brought before their places were locked
            store.bring([artefact])
        return store.folder(artefact) if store.meta(artefact) else None

    def keep_published(self) -> None:
        """Publish what is published once more: same content, same data version."""
        for key in self.step.outputs:
            self._catalogue.store.keep(self._catalogue.artefact(key), self.out(key))

    def run_dir(self, function: Callable[..., Any], content: Mapping[str, Any]) -> Path:
        """The folder for work that can be resumed: the same for the same code on the same content.

        It does not hang on the rest of the step: judging a finished run by other bounds finds
        the run where it was.
        """
        return self._catalogue.store.run_dir(self.step.key, code_version(function, content))

    def kept_dir(self, content: Mapping[str, Any]) -> Path:
        """The folder for answers of the web: the same for the same questions, whatever our code is.

        Asking again costs others' servers what an edit of ours is not worth.
        """
        return self._catalogue.store.run_dir(
            self.step.key, digest_json({"asset": self.step.key, "shard": self.shard, **content})
        )

    def progress(self, total: int | None, unit: str) -> tqdm[Any]:
        """A bar with rate and time left, on the terminal or in the run's log."""
        return progress_bar(total, unit, self._order.label)

    @contextmanager
    def downloading(self) -> Iterator[Callable[[int, int], None]]:
        """A bar over bytes, as the callback of a download: (so far, in all).

        It ends the step between two blocks when asked to: what came so far stays on disk, and the
        next call goes on from there.
        """
        with self.progress(None, "B") as bar:

            def report(done: int, total: int) -> None:
                if self.stop():
                    self.stop.stop_now()
                bar.total = total
                bar.update(done - bar.n)

            yield report

    def observe(self, values: Mapping[str, float | int]) -> None:
        """Report numbers while at work; the UI plots them at once."""
        self.context.log_event(
            dg.AssetObservation(dg.AssetKey.from_user_string(self.step.key), metadata=dict(values))
        )

    def follow(self, page: str, words: str) -> None:
        """Name the page that follows this making, in the run's events and with what it makes.

        Args:
            page: Its address under that of the web UI.
            words: What begins, for the event.
        """
        self.page = page
        self.context.instance.report_engine_event(
            words,
            self.context.run,
            EngineEventData({FOLLOWED: dg.MetadataValue.url(page)}),
            step_key=self.step.op_name,
        )

    def log(self, message: str) -> None:
        """Write a line to the run's log."""
        self.context.log.info(message)

    def warn(self, message: str) -> None:
        """Write a warning to the run's log, and tell the terminal."""
        self.context.log.warning(message)
        say(f"{self._order.label}: warning: {message}", wrong=True)

    def result(self, **content: Any) -> Result:
        """A result file with what every result says of itself filled in."""
        return Result(
            asset=self.step.key,
            profile=self.params.profile,
            code_version=self.code_version,
            **content,
        )


def make(
    catalogue: Catalogue, order: Order, context: dg.AssetExecutionContext, *, force: bool
) -> tuple[list[Meta], bool]:
    """Run a step's function, judge its checks and publish what it built.

    Args:
        force: Make it also where another process, for which this one waited, has just made it.

    Returns:
        The records of what is published, and whether it was made here.
    """
    began = time.monotonic()
    store, step = catalogue.store, order.step
    _require_what_is_recorded(catalogue, order)
    store.bring(catalogue.artefact(*split_label(label)) for label in order.inputs)
    if step.kept or catalogue.decides(step):  # what stands may be published once more
        store.bring(order.outputs)
    with ExitStack() as stack:
        # Built beside the place and judged there: a refusal leaves what is published.
        folders = {a.key: stack.enter_context(store.writing(a)) for a in order.outputs}
        back = finish(catalogue, step, folders)
        if back is not None:
            return back, True
        if not force:
            for artefact in order.outputs:
                store.offer(artefact, order.fingerprint)
        found = None if force else standing(catalogue, order)
        if found is not None:
            return found, False
        remember(catalogue, step)
        stop = stack.enter_context(StopFlag())
        work = Work(catalogue, order, folders, context, stop)
        outcome = step.compute(work)
        _refuse_failed(step, outcome, context)
        # Published whole, each output with the record of how it was made.
        metas = []
        for artefact in order.outputs:
            staging = folders[artefact.key]
            meta = Meta(
                key=artefact.key,
                shard=artefact.shard,
                data_version=store.content_version(staging),
                code_version=order.code_version,
                fingerprint=order.fingerprint,
                inputs=dict(order.inputs),
                seed=order.seed,
                params_seed=catalogue.workspace.params.seed,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                run=context.run.run_id,
                duration_s=round(time.monotonic() - began, 3),
                hardware=hardware(),
                checks=[{**vars(v), "facts": dict(v.facts)} for v in outcome.verdicts],
                metadata=shown.encode(_told(step, outcome, artefact, staging, work.page)),
            )
            # Made again as it was released: DVC, which hashes the record, sees no change.
            if store.meta(artefact) is None:
                meta = as_released(store.root, meta)
            _complete_result(staging, meta)
            metas.append(store.publish(staging, artefact, meta))
        remember(catalogue, step)
    return metas, True


def _told(
    step: Step, outcome: Outcome, artefact: Artefact, staging: Path, page: str | None
) -> dict[str, Any]:
    """What an asset's page shows, in this order: the summary, pages and figures, the rest."""
    told: dict[str, Any] = {shown.SUMMARY: outcome.summary} if outcome.summary else {}
    told |= {TRAINED: dg.MetadataValue.url(page)} if page else {}
    figures = shown_results(artefact, tree_files(staging), outcome.figures)
    told |= {FIGURES: dg.MetadataValue.md(figures)} if figures else {}
    if step.transient:  # a clone has its record and not its files
        told |= {name: shown.thumbnail_of(staging / name) for name in list(outcome.figures)[:1]}
    return told | dict(outcome.metadata)


def _require_what_is_recorded(catalogue: Catalogue, order: Order) -> None:
    """Stop where a record stands in for an input: it is not there, or another one lies there."""
    transient = [key for key in order.step.inputs if catalogue.by_key[key].transient]
    metas = catalogue.store.require([catalogue.artefact(key) for key in transient])
    for key, meta in metas.items():
        if meta.fingerprint != order.inputs[key].fingerprint:
            raise UserError(
                f"{order.label}: {key} that lies there is of other parameters, code or inputs than "
                f"today's; run `dcgan materialize {key}`"
            )


def _refuse_failed(step: Step, outcome: Outcome, context: dg.AssetExecutionContext) -> None:
    """Fail the step, unpublished, when a required check did not pass."""
    required = {check.name for check in step.checks if check.required}
    failed = [v for v in outcome.verdicts if v.check in required and not v.passed]
    for verdict in failed:
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey.from_user_string(step.key),
                check_name=verdict.check,
                passed=False,
                metadata={key: dg.MetadataValue.text(str(v)) for key, v in verdict.facts.items()},
            )
        )
    if failed:
        words = shown.verdict_words((v.check, v.facts) for v in failed)
        raise UserError(f"{step.key}: not published, check failed: {words}")


def _complete_result(staging: Path, meta: Meta) -> None:
    """Fill in what a result file says of its own making."""
    if (staging / RESULT_FILE).exists():
        result = Result.read(staging)
        result.data_version = meta.data_version
        result.hardware, result.duration_s = meta.hardware, meta.duration_s
        result.write(staging)
