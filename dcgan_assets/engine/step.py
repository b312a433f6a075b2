"""Steps: what an asset is made from and how, declared once and bound to Dagster here.

A step is a plain function from inputs to a folder, with its name, its section of params.yaml and
its checks. Everything that all assets share is in this module and happens in one order: require
the inputs; skip when nothing changed; build beside the place; judge the checks; publish or fail.

A check that must stop what follows is judged before publishing and fails the step: Dagster's
blocking checks block only inside one run, and the shards of one graph are many runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from tqdm import tqdm

from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.interrupts import StopFlag
from dcgan_assets.engine.records import as_released
from dcgan_assets.engine.results import RESULT_FILE, Result, hardware
from dcgan_assets.engine.store import Artefact, Input, Kind, Licence, Meta, Store
from dcgan_assets.engine.versions.code import code_version
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.base import Section
from dcgan_models.errors import UserError
from dcgan_models.files import digest_json

OWNER = "team:dcgan"
# The pool of steps that may ask the web: one at a time.
WEB = "web"
# Sources that come with packages under licences that let anyone pass the pictures on.
_PACKAGED = {"packaged", "photographs", "stand_in"}
# Metadata by which a materialisation is known to be that of a record.
FINGERPRINT = "fingerprint"
_PROGRESS_SECONDS = {True: 0.2, False: 15.0}  # on a terminal, in a log file


@dataclass(frozen=True)
class Check:
    """A property that an asset is held to.

    Attributes:
        required: Whether a failure keeps the asset from being published.
    """

    name: str
    description: str
    required: bool = False


@dataclass(frozen=True)
class Verdict:
    """How a check came out, with the numbers that it looked at."""

    check: str
    passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a step's function returns.

    Attributes:
        metadata: What the UI shows: plain values or Dagster's metadata values.
        verdicts: One for each of the step's checks.
        summary: What came out, in a few words for the terminal: what was kept and rejected, what
            was decided and why.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    summary: str = ""


@dataclass(frozen=True)
class Step:
    """One execution in the asset graph: a function and the asset or assets that it makes.

    Attributes:
        outputs: Keys of the assets; more than one where they can only be made together.
        inputs: Keys of the assets that it reads.
        if_there: Keys of assets that it also reads where they are there. They are not made for its
            sake and none of them is missed; it is made anew when one comes, goes or changes.
        section: Dotted path of its section in params.yaml.
        description: Markdown; names the paper's section or figure.
        checks: Declared on the first output.
        pool: Dagster pool that limits how many run at once.
        seeded: Whether chance enters; the Launchpad then takes a seed.
        transient: Whether the asset is only a way to the next one and is not kept under DVC.
        kept: Whether what is published stands when its inputs change: it is made anew only when
            its code or its section does, or by force. So that what is measured with it stays
            comparable.
        optional: Whether it is made only when it is named: not part of the demo, nor of dvc.yaml.
        shards: Names of the partitions, from the section; None for an asset in one piece.
        source_version: Version of what the step (or a shard of it) reads from outside the graph,
            from its section, the root and the shard.
        pictures: Which asset of the group holds the pixels that it reads, if it reads any.
        files: Files and folders that it reads beside its inputs, from its section and the root;
            as the section names them. For DVC to watch.
        shows: Its files that are worth a look with `dvc plots`: pictures, `result.json` (of
            which `dvc metrics` takes the headline), losses by epoch.
        passes_on: For `data`, whether it may be given to others: a table that holds no pictures.
        shows_pictures: For `results`, whether pictures that it was made from can be seen in it.
    """

    outputs: tuple[str, ...]
    kind: Kind
    compute: Callable[[Work], Outcome]
    description: str
    section: str
    inputs: tuple[str, ...] = ()
    if_there: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    kinds: frozenset[str] = frozenset()
    pool: str | None = None
    seeded: bool = False
    transient: bool = False
    kept: bool = False
    optional: bool = False
    shards: Callable[[Any], tuple[str, ...]] | None = None
    source_version: Callable[[Any, Path, str | None], str] | None = None
    pictures: str = "images"
    files: Callable[[Any, Path], tuple[str, ...]] | None = None
    shows: tuple[str, ...] = ()
    passes_on: bool = False
    shows_pictures: bool = False

    @property
    def key(self) -> str:
        """The first output: the name under which a step is spoken of."""
        return self.outputs[0]

    @property
    def op_name(self) -> str:
        """Under which Dagster runs it."""
        return self.key.replace("/", "__")

    @property
    def group(self) -> str:
        """The first half of the key."""
        return self.key.split("/")[0]

    @property
    def has_stage(self) -> bool:
        """Whether it has a stage in dvc.yaml: what is transient is part of another's."""
        return not (self.transient or self.optional)


# Makes a step of one group from its name and facts; `groups.step_maker` gives it.
StepMaker = Callable[..., Step]


def named_source(section: Any, root: Path) -> tuple[str, ...]:
    """`Step.files` of a step that reads the `path` of its section, where it has one."""
    return (section.path,) if section.path is not None else ()


def where_there(root: Path, name: str | Path) -> tuple[str, ...]:
    """`Step.files` of a step that does without a file where it is absent."""
    return (str(name),) if (root / name).is_file() else ()


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
        self.store = Store(place or workspace.root)
        self.by_key = {key: step for step in steps for key in step.outputs}

    def section(self, step: Step) -> Section:
        """The step's part of params.yaml."""
        return self.workspace.params.section(step.section)

    def shards(self, step: Step) -> tuple[str | None, ...]:
        """The step's shards; a single None for an asset in one piece."""
        return step.shards(self.section(step)) if step.shards else (None,)

    def code_version(self, step: Step) -> str:
        """The step's code version, its resolved section included."""
        return code_version(step.compute, self.section(step).identity())

    def files(self, step: Step) -> tuple[str, ...]:
        """What the step reads beside its inputs: paths that are absolute or relative to the root.

        A file that may be absent is among them only where it is there.
        """
        return step.files(self.section(step), self.workspace.root) if step.files else ()

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


# --- What is to be made, and whether it is there already ------------------------------------


@dataclass(frozen=True)
class Order:
    """One making of a step, with all that decides its content.

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
    """Work out what making a step now would be.

    Args:
        seed: An explicit one; else the stored one is kept until the seed in params.yaml changes.
        afresh: Whether even a `kept` step is to be made from its inputs as they are now.
        recorded: What an asset made from this one says of the inputs of both.

    Raises:
        UserError: Inputs are missing; the line names them.
    """
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
        root = catalogue.workspace.root
        versions["source"] = step.source_version(catalogue.section(step), root, shard)
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
    """Whether a step's outputs lie there as they would be made today.

    None where something lies there and it cannot be told: inputs are missing.
    """
    if any(catalogue.store.meta(catalogue.artefact(key)) is None for key in step.outputs):
        return False
    try:
        return standing(catalogue, place_order(catalogue, step)) is not None
    except UserError:
        return None


# --- Making ---------------------------------------------------------------------------------


class Work:
    """What a step's function is given: its section, inputs, a folder to fill, and a voice."""

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
        """Of the assets of `if_there`, those that are: folder and record by key."""
        there = [key for key in self.step.if_there if key in self.inputs]
        return {key: (self.input(key), self.input_meta(key)) for key in there}

    def input_meta(self, key: str) -> Meta:
        """The record of an input."""
        return self._catalogue.store.require([self._catalogue.artefact(key)])[key]

    def published(self, key: str) -> Path | None:
        """What stands in an output's place now, or None."""
        artefact = self._catalogue.artefact(key)
        store = self._catalogue.store
        return store.folder(artefact) if store.meta(artefact) else None

    def keep_published(self) -> None:
        """Publish again what stands: same content, same data version."""
        for key in self.step.outputs:
            self._catalogue.store.keep(self._catalogue.artefact(key), self.out(key))

    def run_dir(self, function: Callable[..., Any], content: Mapping[str, Any]) -> Path:
        """Where resumable work lies: one folder for the same code on the same content.

        It does not hang on the rest of the step: judging a finished run by other bounds finds
        the run where it was.
        """
        return self._catalogue.store.run_dir(self.step.key, code_version(function, content))

    def kept_dir(self, content: Mapping[str, Any]) -> Path:
        """Where answers of the web lie: one folder for the same questions, whatever our code is.

        Asking again costs others' servers what an edit of ours is not worth.
        """
        return self._catalogue.store.run_dir(
            self.step.key, digest_json({"asset": self.step.key, "shard": self.shard, **content})
        )

    def progress(self, total: int | None, unit: str) -> tqdm[Any]:
        """A bar with rate and time left, on the terminal or in the run's log."""
        bar = tqdm(total=total, unit=f" {unit}", desc=self._order.label, dynamic_ncols=True)
        bar.mininterval = _PROGRESS_SECONDS[bar.fp.isatty()]
        return bar

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

    def log(self, message: str) -> None:
        """Write a line to the run's log."""
        self.context.log.info(message)

    def warn(self, message: str) -> None:
        """Write a warning to the run's log, and tell the terminal."""
        self.context.log.warning(message)
        say(f"{self._order.label}: warning: {message}")

    def result(self, **content: Any) -> Result:
        """A result file with what every result says of itself filled in."""
        return Result(
            asset=self.step.key,
            profile=self.params.profile,
            code_version=self.code_version,
            **content,
        )


def make(catalogue: Catalogue, order: Order, context: dg.AssetExecutionContext) -> list[Meta]:
    """Run a step's function, judge its checks and publish what it built."""
    began = time.monotonic()
    store, step = catalogue.store, order.step
    _require_what_is_recorded(catalogue, order)
    with ExitStack() as stack:
        folders = {a.key: stack.enter_context(store.writing(a)) for a in order.outputs}
        stop = stack.enter_context(StopFlag())
        work = Work(catalogue, order, folders, context, stop)
        outcome = step.compute(work)
        _refuse_failed(step, outcome, context)
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
                metadata=shown.encode(_with_summary(outcome)),
            )
            if store.meta(artefact) is None:
                meta = as_released(store.root, meta)
            _complete_result(staging, meta)
            metas.append(store.publish(staging, artefact, meta))
    return metas


def _with_summary(outcome: Outcome) -> dict[str, Any]:
    summary = {shown.SUMMARY: outcome.summary} if outcome.summary else {}
    return {**summary, **outcome.metadata}


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


# --- Dagster --------------------------------------------------------------------------------


class Launch(dg.Config):
    """What the Launchpad takes: everything else is in params.yaml."""

    force: bool = False


class SeededLaunch(Launch):
    """The Launchpad of a step that uses chance."""

    seed: int | None = None


def dagster_asset(catalogue: Catalogue, step: Step, hook: dg.HookDefinition) -> dg.AssetsDefinition:
    """Bind a step to Dagster, with a hook that runs after each success."""
    specs = [_asset_spec(catalogue, step, key) for key in step.outputs]
    check_specs = [
        dg.AssetCheckSpec(
            check.name,
            asset=specs[0].key,
            description=check.description,
            blocking=check.required,
        )
        for check in step.checks
    ]
    names = [shard for shard in catalogue.shards(step) if shard is not None]

    def materialise(context: dg.AssetExecutionContext, config: Launch) -> Iterator[Any]:
        shard = context.partition_key if names else None
        seed = config.seed if isinstance(config, SeededLaunch) else None
        try:
            yield from _materialise(catalogue, step, context, shard, seed, config.force)
        except dg.DagsterExecutionInterruptedError:
            _report_canceling(context)
            raise
        except (UserError, OSError) as error:
            raise dg.Failure(str(error), allow_retries=False) from error

    launch_type = SeededLaunch if step.seeded else Launch
    materialise.__annotations__ = {"context": dg.AssetExecutionContext, "config": launch_type}
    return dg.multi_asset(
        name=step.op_name,
        specs=specs,
        check_specs=check_specs,
        partitions_def=dg.StaticPartitionsDefinition(names) if names else None,
        pool=step.pool,
        can_subset=False,
        hooks={hook},
    )(materialise)


def _asset_spec(catalogue: Catalogue, step: Step, key: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        dg.AssetKey.from_user_string(key),
        deps=[dg.AssetKey.from_user_string(key) for key in (*step.inputs, *step.if_there)],
        description=step.description,
        group_name=step.group,
        kinds=set(step.kinds),
        owners=[OWNER],
        code_version=catalogue.code_version(step),
        metadata={"section": f"params.yaml: {step.section}", "place": f"{step.kind}/{key}"},
    )


def _materialise(
    catalogue: Catalogue,
    step: Step,
    context: dg.AssetExecutionContext,
    shard: str | None,
    seed: int | None,
    force: bool,
) -> Iterator[Any]:
    order = place_order(catalogue, step, shard, seed, afresh=force)
    metas = None if force else standing(catalogue, order)
    memoised = metas is not None
    if metas is None:
        for key in step.outputs:
            catalogue.store.require_ours(key, step.kind)
        if step.shards:
            names = tuple(s for s in catalogue.shards(step) if s is not None)
            for key in step.outputs:
                catalogue.store.clear_foreign_shards(key, step.kind, names)
        say(f"{order.label}: making")
        metas = make(catalogue, order, context)
        how = f"made in {metas[0].duration_s:.1f} s"
    else:
        how = "memoised, nothing that it depends on has changed"
    summary = shown.summary(metas[0].metadata)
    say(f"{order.label}: {how}{'; ' if summary else ''}{summary}")
    tell_failed(order.label, metas[0])
    for meta in metas:
        yield _materialize_result(step, meta, memoised)


def say(message: str) -> None:
    """Tell the terminal, or the run's captured output; bars of progress make room."""
    with tqdm.external_write_mode():
        print(message, flush=True)


def tell_failed(label: str, meta: Meta) -> None:
    """Name the failed checks of what is published, and what they saw, in one line."""
    failed = [(one["check"], one["facts"]) for one in meta.checks if not one["passed"]]
    if failed:
        say(f"{label}: check failed: {shown.verdict_words(failed)}")


def _report_canceling(context: dg.AssetExecutionContext) -> None:
    """Let the run end as canceled, not failed, where nobody has said so yet (Ctrl-C)."""
    run = context.instance.get_run_by_id(context.run.run_id)
    if run is not None and run.status is not dg.DagsterRunStatus.CANCELING:
        context.instance.report_run_canceling(run)


def _materialize_result(step: Step, meta: Meta, memoised: bool) -> Any:
    key = dg.AssetKey.from_user_string(meta.key)
    facts = {
        FINGERPRINT: meta.fingerprint,
        "memoised": memoised,
        "seconds": meta.duration_s,
        "files": len(meta.files),
        "bytes": sum(facts["size"] for facts in meta.files.values()),
    }
    if meta.seed is not None:
        facts["seed"] = meta.seed
    verdicts = meta.checks if meta.key == step.key else []
    return dg.MaterializeResult(
        asset_key=key,
        metadata={**shown.decode(meta.metadata), **facts},
        data_version=dg.DataVersion(meta.data_version),
        check_results=[
            dg.AssetCheckResult(
                check_name=verdict["check"], passed=verdict["passed"], metadata=verdict["facts"]
            )
            for verdict in verdicts
        ],
    )
