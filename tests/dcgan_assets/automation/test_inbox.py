"""An inbox: what a look at a folder comes to, and the way from new pictures to a candidate."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import dagster as dg
import numpy as np
import pytest
import yaml
from small_group import CATS

from dcgan_assets.assets.groups import image_group
from dcgan_assets.automation.conditions import build_automation
from dcgan_assets.automation.inbox import (
    STILL_SECONDS,
    Changes,
    Look,
    Seen,
    compare_states,
    find_inboxes,
    look,
)
from dcgan_assets.automation.schedules import trained_groups
from dcgan_assets.definitions import build_definitions
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text
from dcgan_assets.sources.reading.workers import close_workers

SHARDS = {"00", "01"}


def draw_pictures(folder: Path, first: int, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:03d}.png"), cv2.blur(pixels, (5, 5)))


@dataclass
class Cats:
    """A workspace with a group whose pictures come from a folder, and its clock."""

    root: Path
    now: float = 1_000_000.0
    seen: Seen = field(default_factory=Seen)

    def write_params(self, **inbox: Any) -> None:
        content = yaml.safe_load(profile_text("sample"))
        content["groups"] = {"cats": CATS}
        content["retraining"]["inbox"] = inbox
        (self.root / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def catalogue(self) -> Catalogue:
        steps = image_group("cats", "groups.cats", "cats", walk=False)
        return Catalogue(Workspace(self.root), steps)

    def look(self, instance: dg.DagsterInstance, after: float = 0.0) -> Look:
        """Look again after so many seconds, as a sensor whose daemon was started anew."""
        self.now += after
        catalogue = self.catalogue()
        (inbox,) = find_inboxes(catalogue, trained_groups(catalogue))
        found = look(catalogue, inbox, instance, Seen.read(self.seen.write()), self.now)
        self.seen = found.seen
        return found

    def run(self, instance: dg.DagsterInstance, found: Look) -> None:
        """Execute what a look asked for."""
        definitions = build_definitions(self.catalogue())
        assert found.requests
        for request in found.requests:
            job = definitions.resolve_job_def(str(request.job_name))
            done = job.execute_in_process(
                instance=instance,
                run_config=request.run_config,
                asset_selection=request.asset_selection,
                partition_key=request.partition_key,
                tags={**request.tags, "dagster/run_key": str(request.run_key)},
            )
            assert done.success


@pytest.fixture
def cats(fast_disk: Path) -> Cats:
    found = Cats(fast_disk)
    found.write_params(pictures=10, share=1.0)
    draw_pictures(fast_disk / "pictures", 0, 40)
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


# --- Looking ----------------------------------------------------------------------------------


def test_a_folder_that_changes_is_left_alone(cats: Cats, instance: dg.DagsterInstance) -> None:
    waiting = "the folder has just changed; waiting until it stands still"
    assert cats.look(instance).reason == waiting
    assert cats.look(instance, STILL_SECONDS - 1).reason == waiting
    # Each of these begins the wait anew: a new file, one that grows, one that is replaced.
    picture = cats.root / "pictures/new.png"
    for content in (b"", b"half", b"flah"):
        picture.unlink(missing_ok=True)
        picture.write_bytes(content)
        assert cats.look(instance, STILL_SECONDS + 1).reason == waiting
    # Hidden ones, as rsync writes them, are no pictures.
    (cats.root / "pictures/.new.png.part").write_bytes(b"half")
    assert cats.look(instance, STILL_SECONDS + 1).requests


def test_a_folder_that_is_gone_is_said_and_nothing_forgotten(
    cats: Cats, instance: dg.DagsterInstance
) -> None:
    cats.look(instance)
    before = cats.seen
    shutil.move(cats.root / "pictures", cats.root / "elsewhere")
    found = cats.look(instance, 60)
    assert "cannot be listed" in found.reason
    assert "\n" not in found.reason
    assert cats.seen == before


def test_every_shard_is_read_once(cats: Cats, instance: dg.DagsterInstance) -> None:
    cats.look(instance)
    found = cats.look(instance, 60)
    assert {request.partition_key for request in found.requests} == SHARDS
    assert {request.job_name for request in found.requests} == {"inbox_cats_read"}
    assert cats.seen.pending

    job = build_definitions(cats.catalogue()).resolve_job_def("inbox_cats_read")
    run = instance.create_run_for_job(
        job, tags={**job.run_tags, "dagster/run_key": str(found.requests[0].run_key)}
    )
    assert cats.look(instance, 60).reason == f"run {run.run_id[:8]} is at work on them"
    # It failed: not again and again for the same pictures, but for others.
    instance.report_run_failed(run)
    assert cats.look(instance, 60).reason.startswith(f"run {run.run_id[:8]} has tried it")
    draw_pictures(cats.root / "pictures", 40, 1)
    cats.look(instance, 60)
    again = cats.look(instance, 60)
    assert {request.partition_key for request in again.requests} == SHARDS
    assert not {r.run_key for r in again.requests} & {r.run_key for r in found.requests}


def test_only_folders_have_an_inbox_and_it_is_off(cats: Cats) -> None:
    sensors = {sensor.name: sensor for sensor in build_automation(cats.catalogue()).sensors}
    assert sensors["inbox_cats"].default_status is dg.DefaultSensorStatus.STOPPED
    steps = image_group("lsun", "lsun", "crops of photographs", dedup=True)
    others = build_automation(Catalogue(cats.catalogue().workspace, steps)).sensors
    assert "inbox_lsun" not in {sensor.name for sensor in others}


def test_the_sensor_keeps_its_cursor(cats: Cats, instance: dg.DagsterInstance) -> None:
    definitions = build_definitions(cats.catalogue())
    sensor = definitions.get_repository_def().get_sensor_def("inbox_cats")
    with dg.build_sensor_context(instance=instance) as context:
        first = sensor.evaluate_tick(context)
    assert Seen.read(first.cursor).listing
    with dg.build_sensor_context(instance=instance, cursor=first.cursor) as context:
        assert sensor.evaluate_tick(context).cursor == first.cursor
    old = replace(Seen.read(first.cursor), since=0.0).write()
    with dg.build_sensor_context(
        instance=instance, cursor=old, repository_def=definitions.get_repository_def()
    ) as context:
        asked = sensor.evaluate_tick(context).run_requests
    # As Dagster has checked and completed them.
    assert {request.partition_key for request in asked} == SHARDS
    assert {request.tags["dagster/partition"] for request in asked} == SHARDS


# --- What is another picture --------------------------------------------------------------------


def read_all(cats: Cats, instance: dg.DagsterInstance) -> None:
    """Have the pictures read, as a first look does."""
    cats.look(instance)
    cats.run(instance, cats.look(instance, 60))


def say(cats: Cats, instance: dg.DagsterInstance) -> str:
    """What a look says once the folder stands still."""
    cats.look(instance, 60)
    found = cats.look(instance, 60)
    return "enough" if found.requests else found.reason


def test_states_are_compared_by_key() -> None:
    known = np.array([[1, 10, 5], [2, 10, 5], [3, 10, 5], [4, 10, 5]])
    now = np.array([[7, 1, 1], [4, 10, 5], [2, 11, 5], [3, 10, 6], [6, 1, 1], [5, 1, 1]])
    found = compare_states(known, now)
    assert found == Changes(new=3, replaced=2, deleted=1)
    assert (found.total, found.words) == (6, "3 new, 2 replaced, 1 deleted pictures")
    assert compare_states(known, known[::-1]) == Changes()
    assert Changes().words == "0 new pictures"
    assert compare_states(known[:0], now) == Changes(new=6)


def test_replaced_and_deleted_pictures_count(cats: Cats, instance: dg.DagsterInstance) -> None:
    """Ten are enough: other content of the same size and time, other times, no file any more."""
    read_all(cats, instance)
    cats.seen = Seen()
    assert say(cats, instance) == "0 new pictures are too few to train anew"
    folder = cats.root / "pictures"
    for number in range(4):
        picture = folder / f"{number:03d}.png"
        times = picture.stat()
        draw_pictures(folder, 500 + number, 1)
        # As `rsync -t` or `cp -p` puts it there: an older file in the old one's place.
        (folder / f"{500 + number}.png").replace(picture)
        os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns - 10**9))
    assert say(cats, instance) == "4 replaced pictures are too few to train anew"
    for number in range(4, 8):
        (folder / f"{number:03d}.png").unlink()
    draw_pictures(folder, 600, 1)
    words = "1 new, 4 replaced, 4 deleted pictures are too few to train anew"
    assert say(cats, instance) == words
    # It is known after a restart, and without a cursor.
    cats.seen = Seen()
    assert say(cats, instance) == words
    (folder / "008.png").unlink()
    assert say(cats, instance) == "enough"


def test_pictures_read_before_the_sensor_was_on(cats: Cats, instance: dg.DagsterInstance) -> None:
    """The manifests have no sizes and times: what was written since then is another picture."""
    read_all(cats, instance)
    shutil.rmtree(cats.root / ".dagster_home/inbox", ignore_errors=True)
    cats.seen = Seen()
    folder = cats.root / "pictures"
    for number in range(3):
        picture = folder / f"{number:03d}.png"
        picture.write_bytes((folder / f"{number + 20:03d}.png").read_bytes())
        os.utime(picture, (time.time() + 60,) * 2)
    (folder / "010.png").unlink()
    assert say(cats, instance) == "3 replaced, 1 deleted pictures are too few to train anew"


# --- The whole way ----------------------------------------------------------------------------


@pytest.mark.slow
def test_new_pictures_become_a_candidate(cats: Cats, instance: dg.DagsterInstance) -> None:
    cats.look(instance)
    made = []
    for _ in range(4):
        found = cats.look(instance, 60)
        made.append({str(request.job_name) for request in found.requests})
        cats.run(instance, found)
    # The training set, and in a run of its own, because it needs a place in a pool, the extractor.
    preparing = [{"inbox_cats_prepare"}, {"inbox_cats_prepare"}]
    assert made == [{"inbox_cats_read"}, *preparing, {"retrain_cats"}]
    first = _meta(cats, "cats/candidate")
    assert cats.look(instance, 60).reason == "0 new pictures are too few to train anew"

    # Nine are too few, ten are enough; only the shards that they fall in are read again.
    draw_pictures(cats.root / "pictures", 100, 9)
    cats.look(instance, 60)
    assert cats.look(instance, 60).reason == "9 new pictures are too few to train anew"
    draw_pictures(cats.root / "pictures", 200, 1)
    cats.look(instance, 60)
    for _ in range(3):
        cats.run(instance, cats.look(instance, 60))
    second = _meta(cats, "cats/candidate")
    assert second.seed != first.seed
    assert second.inputs["cats/training_set"] != first.inputs["cats/training_set"]
    assert not cats.look(instance, 60).requests
    close_workers()


def _meta(cats: Cats, key: str) -> Any:
    catalogue = cats.catalogue()
    return catalogue.store.meta(catalogue.artefact(key))
