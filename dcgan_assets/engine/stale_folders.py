"""Inputs that another host has published and that a shared folder does not show here yet.

A network file system may keep a folder's listing for a minute (NFS's `acdirmax`): what another
host has just published is missing here until then. So a run waits for what Dagster says that
another host has made, and for nothing else: what was never made is missing at once.
"""

from __future__ import annotations

import socket
import time

import dagster as dg

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import Order, place_order
from dcgan_assets.engine.instance import HOST_TAG
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.store import Artefact, MissingError
from dcgan_assets.engine.terminal import say

PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.5


def place_order_when_seen(
    catalogue: Catalogue,
    step: Step,
    shard: str | None,
    seed: int | None,
    instance: dg.DagsterInstance,
    *,
    afresh: bool,
) -> Order:
    """`place_order`, as soon as this host sees what others have made; a minute at most.

    Raises:
        UserError: Inputs are missing that nobody else has made, or they are not seen in time.
    """
    until, told = time.monotonic() + PATIENCE_SECONDS, False
    while True:
        try:
            return place_order(catalogue, step, shard, seed, afresh=afresh)
        except MissingError as error:
            made = all(_made_by_another_host(catalogue, instance, one) for one in error.artefacts)
            if not made or time.monotonic() > until:
                raise
            if not told:
                say(f"{error.artefacts[0].label}: made on another host, and not seen here yet")
                told = True
        time.sleep(_LOOK_SECONDS)


def _made_by_another_host(
    catalogue: Catalogue, instance: dg.DagsterInstance, artefact: Artefact
) -> bool:
    """Whether the last making of an artefact that Dagster knows of was a run of another host."""
    partition = catalogue.partition(catalogue.by_key[artefact.key], artefact.shard)
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=dg.AssetKey.from_user_string(artefact.key),
            asset_partitions=[partition] if partition is not None else None,
        ),
        limit=1,
    ).records
    run = instance.get_run_by_id(records[0].run_id) if records else None
    return run is not None and run.tags.get(HOST_TAG, socket.gethostname()) != socket.gethostname()
