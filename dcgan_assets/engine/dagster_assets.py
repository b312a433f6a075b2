"""A step bound to Dagster: an asset with its checks, partitions, and a Launchpad."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import place_order, standing
from dcgan_assets.engine.making import make
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import Meta
from dcgan_assets.engine.terminal import say
from dcgan_models.errors import UserError

OWNER = "team:dcgan"


# Metadata by which a materialisation is known to be that of a record.
FINGERPRINT = "fingerprint"


class Launch(dg.Config):
    """The settings of one run on Dagster's Launchpad; everything else is in params.yaml."""

    force: bool = False


class SeededLaunch(Launch):
    """The settings of one run of a step that uses random numbers."""

    seed: int | None = None


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
    names = [shard for shard in catalogue.shards(step) if shard is not None]

    # What it runs. Our refusals are failures that no retry would cure.
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

    # Dagster reads the form of the Launchpad from this annotation.
    launch_type = SeededLaunch if step.seeded else Launch
    materialise.__annotations__ = {"context": dg.AssetExecutionContext, "config": launch_type}
    return dg.multi_asset(
        name=step.op_name,
        specs=specs,
        check_specs=check_specs,
        partitions_def=dg.StaticPartitionsDefinition(names) if names else None,
        pool=step.pool,
        can_subset=False,
        hooks={hook} if hook else None,
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
