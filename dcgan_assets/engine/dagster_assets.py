"""A step bound to Dagster: an asset with its checks, partitions, and a Launchpad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.expectations import require_expected
from dcgan_assets.engine.fingerprint import standing
from dcgan_assets.engine.gpu_runs import gpu_tags
from dcgan_assets.engine.live_training import training_page
from dcgan_assets.engine.making import FOLLOWED, make
from dcgan_assets.engine.stale_folders import place_order_when_seen
from dcgan_assets.engine.step import GPU, Step
from dcgan_assets.engine.store import Meta
from dcgan_assets.engine.terminal import say
from dcgan_models.errors import UserError

OWNER = "team:dcgan"


# Metadata by which a materialisation is known to be that of a record.
FINGERPRINT = "fingerprint"
# Of a check that failed on what is published: what must hold fails the step before that.
SEVERITY = dg.AssetCheckSeverity.WARN
_ANEW = "to make it anew: Materialize, Open launchpad, force: true"
_UP_TO_DATE = "up to date: nothing that it depends on has changed"


# On the Launchpad: no seed of this run's own.
STANDING_SEED = -1


class Launch(dg.Config):
    """The settings of one run on Dagster's Launchpad; everything else is in params.yaml."""

    force: bool = Field(
        default=False,
        description="Make it anew, also where it is up to date and would be the same.",
    )

    @property
    def own_seed(self) -> int | None:
        """The seed that was given for this run, if one was."""
        return None


class SeededLaunch(Launch):
    """The settings of one run of a step that uses random numbers."""

    # The Launchpad leaves out a setting whose default is none.
    seed: int = Field(
        default=STANDING_SEED,
        ge=STANDING_SEED,
        description=(
            "Where the random numbers start, from 0 on: another one trains other networks. "
            f"{STANDING_SEED}: the seed of what stands, or `seed` in params.yaml where that is new."
        ),
    )

    @property
    def own_seed(self) -> int | None:
        """The seed that was given for this run, if one was."""
        return None if self.seed == STANDING_SEED else self.seed


def dagster_asset(
    catalogue: Catalogue, step: Step, hook: dg.HookDefinition | None = None
) -> dg.AssetsDefinition:
    """Bind a step to Dagster, with a hook that runs after each success, if any."""
    # What Dagster shows before anything runs.
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
    shards = catalogue.shards(step)
    partitions = [name for shard in shards if (name := catalogue.partition(step, shard))]

    # What it runs. Our refusals are failures that no retry would cure.
    def materialise(context: dg.AssetExecutionContext, config: Launch) -> Iterator[Any]:
        shard = context.partition_key if partitions else shards[0]
        try:
            yield from _materialise(catalogue, step, context, shard, config.own_seed, config.force)
        except dg.DagsterExecutionInterruptedError:
            _report_canceling(context)
            raise
        except UserError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        except OSError as error:
            # A full disk does not say which.
            place = "" if error.filename else f"{catalogue.store.root / step.kind / step.key}: "
            raise dg.Failure(f"{place}{error}", allow_retries=False) from error

    # Dagster reads the form of the Launchpad from this annotation.
    launch_type = SeededLaunch if step.seeded else Launch
    materialise.__annotations__ = {"context": dg.AssetExecutionContext, "config": launch_type}
    return dg.multi_asset(
        name=step.op_name,
        specs=specs,
        check_specs=check_specs,
        partitions_def=dg.StaticPartitionsDefinition(partitions) if partitions else None,
        pool=_pool(catalogue, step),
        can_subset=False,
        hooks={hook} if hook else None,
    )(materialise)


def _pool(catalogue: Catalogue, step: Step) -> str | None:
    """The pool of an op. An engine gives trainings their GPU, and knows where there is one."""
    spread = catalogue.workspace.params.machine.engine != "local"
    return None if spread and step.pool == GPU else step.pool


def _asset_spec(catalogue: Catalogue, step: Step, key: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        dg.AssetKey.from_user_string(key),
        deps=[dg.AssetKey.from_user_string(key) for key in (*step.inputs, *step.if_there)],
        description=step.description,
        group_name=step.group,
        kinds=set(step.kinds),
        owners=[OWNER],
        tags=gpu_tags(catalogue, step),
        code_version=catalogue.code_version(step),
        metadata={
            "section": f"params.yaml: {step.section}",
            "place": f"{step.kind}/{key}",
            **({FOLLOWED: dg.MetadataValue.url(training_page(key))} if step.trains else {}),
        },
    )


def _materialise(
    catalogue: Catalogue,
    step: Step,
    context: dg.AssetExecutionContext,
    shard: str | None,
    seed: int | None,
    force: bool,
) -> Iterator[Any]:
    require_expected(catalogue, step, context.run.tags)
    order = place_order_when_seen(catalogue, step, shard, seed, context.instance, afresh=force)
    metas, made = None if force else standing(catalogue, order), False
    if metas is None:
        for key in step.outputs:
            catalogue.store.require_ours(key, step.kind)
        if step.shards:
            names = tuple(s for s in catalogue.shards(step) if s is not None)
            for key in step.outputs:
                catalogue.store.clear_foreign_shards(key, step.kind, names)
        say(f"{order.label}: making")
        metas, made = make(catalogue, order, context, force=force)
        if metas[0].fingerprint != order.fingerprint:
            # It only ended what a killed rollback had begun.
            metas, made = make(catalogue, order, context, force=force)
    if not made:
        context.log.info(f"{order.label}: {_UP_TO_DATE}; {_ANEW}")
    tell_made(say, order.label, metas[0], made=made)
    for meta in metas:
        yield _materialize_result(step, meta, memoised=not made)


def tell_made(
    tell: Callable[[str], None], label: str, meta: Meta, *, made: bool, where: str = ""
) -> None:
    """Tell in one line what came of a making, and in another one which of its checks failed.

    Args:
        made: Whether it was made just now.
        where: On which machine, if not on this one.
    """
    how = f"made in {meta.duration_s:.1f} s{where}" if made else _UP_TO_DATE
    summary = shown.summary(meta.metadata)
    tell(f"{label}: {how}{'; ' if summary else ''}{summary}")
    tell_failed(label, meta)


def tell_failed(label: str, meta: Meta) -> None:
    """Name the failed checks of what is published, and what they saw, in one line."""
    failed = [(one["check"], one["facts"]) for one in meta.checks if not one["passed"]]
    if failed:
        say(f"{label}: check failed: {shown.verdict_words(failed)}", wrong=True)


def _report_canceling(context: dg.AssetExecutionContext) -> None:
    """Let the run end as canceled, not failed, where nobody has said so yet (Ctrl-C)."""
    run = context.instance.get_run_by_id(context.run.run_id)
    if run is not None and run.status is not dg.DagsterRunStatus.CANCELING:
        context.instance.report_run_canceling(run)


def _materialize_result(step: Step, meta: Meta, *, memoised: bool) -> Any:
    key = dg.AssetKey.from_user_string(meta.key)
    facts = {
        FINGERPRINT: meta.fingerprint,
        "made": f"{_UP_TO_DATE}; {_ANEW}" if memoised else "in this run",
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
                check_name=verdict["check"],
                passed=verdict["passed"],
                severity=SEVERITY,
                metadata=verdict["facts"],
            )
            for verdict in verdicts
        ],
    )
