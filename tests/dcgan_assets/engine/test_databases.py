"""What Dagster's stores do again and again is done once in a process."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from small_graph import SmallGraph
from sqlalchemy import NullPool, StaticPool

from dcgan_assets.engine.instance import open_instance


def test_stores_that_are_opened_again_read_no_revisions(
    small: SmallGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = small.catalogue().workspace
    read: list[Any] = []
    real = ScriptDirectory._load_revisions

    def counted(self: ScriptDirectory) -> Any:
        read.append(self)
        return real(self)

    monkeypatch.setattr(ScriptDirectory, "_load_revisions", counted)
    for number in range(3):
        with open_instance(workspace) as instance:
            instance.add_run(dg.DagsterRun("job"))
            assert instance.get_runs_count() == number + 1
        if number == 0:
            read.clear()  # what the first one read, where no test before it did
    assert read == []


@pytest.mark.parametrize("store", [sqlite_event_log, sqlite_run_storage])
def test_an_engine_serves_all_connections_to_a_database(small: SmallGraph, store: Any) -> None:
    with small.instance():
        pass
    one, again, other = (
        store.create_engine(f"sqlite:///{small.root}/{name}.db", poolclass=NullPool)
        for name in ("one", "one", "other")
    )
    assert one is again
    assert one is not other
    # One that holds a connection is its maker's own.
    held = [store.create_engine("sqlite://", poolclass=StaticPool) for _ in range(2)]
    assert held[0] is not held[1]
