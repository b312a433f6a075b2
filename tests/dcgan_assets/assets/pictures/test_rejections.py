"""What became of a step's inputs: judged by counts, told on the terminal, and in time."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from commands import materialize
from PIL import Image
from small_group import CATS

from dcgan_assets.assets.pictures.rejections import FEW_REJECTED, SOME_KEPT, Intake
from dcgan_assets.params.file import profile_text
from dcgan_assets.sources.reading.items import forget_listings
from dcgan_assets.sources.reading.workers import close_workers

# --- Counts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intake", "some", "few"),
    [
        (Intake(0, {}), True, True),
        (Intake(90, {"empty": 10}), True, True),
        (Intake(89, {"empty": 11}), True, False),
        (Intake(0, {"empty": 3}), False, False),
        # A few files of one of several shards say nothing of the whole.
        (Intake(0, {"empty": 99}, whole=False), True, True),
        (Intake(0, {"empty": 100}, whole=False), False, False),
        (Intake(89, {"empty": 11}, whole=False), True, False),
        (Intake(88, {"empty": 11}, whole=False), True, True),
        # Copies are no faults; neither is what was to be removed, and it must go in any case.
        (Intake(1, {"duplicate content": 99}), True, True),
        (Intake(0, {"removed": 50}), True, True),
        (Intake(0, {"removed": 1, "no answer": 200}), True, False),
    ],
)
def test_all_or_more_than_a_tenth_rejected_fails(intake: Intake, some: bool, few: bool) -> None:
    passed = {verdict.check: verdict.passed for verdict in intake.judge()}
    assert passed == {SOME_KEPT.name: some, FEW_REJECTED.name: few}


def test_the_bound_may_be_another_one() -> None:
    for rejected, passes in ((50, True), (51, False)):
        _, few = Intake(100 - rejected, {"no answer": rejected}).judge(0.5)
        assert few.passed is passes
        assert few.facts == {"share": rejected / 100, "at most": 0.5}


def test_the_commonest_reasons_come_first_and_the_rest_is_counted() -> None:
    assert Intake(1_234, {}).words == "1,234 kept"
    reasons = {"empty": 2, "too small": 1_000, "HTML": 2, "truncated": 1, "damaged": 1}
    assert Intake(7, reasons).words == (
        "7 kept, 1,006 rejected (1,000 too small, 2 HTML, 2 empty, 2 for other reasons)"
    )
    table = pa.table({"reason": ["too small: 1x1", None, "too small: 2x2", "empty", None]})
    assert Intake.of(table) == Intake(2, {"too small": 2, "empty": 1})


# --- The command ------------------------------------------------------------------------------


@pytest.fixture
def write_group(fast_disk: Path, dagster_home: Path) -> Any:
    """Write a workspace with the group `cats` of so many pictures, and of files that are none."""

    def write(good: int, bad: int, shards: int = 1) -> Path:
        shutil.copytree(dagster_home, fast_disk / ".dagster_home")
        params = yaml.safe_load(profile_text("sample"))
        images = {**CATS["images"], "shards": shards}
        params["groups"] = {"cats": {**CATS, "images": images}}
        params["machine"] |= {"device": "cpu", "dvc": "off"}
        (fast_disk / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        folder = fast_disk / "pictures"
        folder.mkdir()
        for number in range(good):
            pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:03d}.png")
        for number in range(bad):
            (folder / f"note {number}.txt").write_text("no picture" if number % 3 else "")
        forget_listings()
        return fast_disk

    yield write
    close_workers()


def test_all_rejected_is_said_at_once_and_nothing_is_published(write_group: Any) -> None:
    root = write_group(0, 6)
    done = materialize(root, "cats/training_set")
    assert done.exit_code == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert line.startswith(
        "FAILED cats/images[00]: cats/images: not published, check failed: "
        "some_kept (inputs: 6, rejected: 4 "
    )
    assert line.endswith("2 empty)")
    assert not (root / "data/cats/images/00").exists()


@pytest.mark.parametrize("shards", [1, 2])
def test_hundreds_of_files_of_which_none_is_readable(write_group: Any, shards: int) -> None:
    """Each shard says so itself, and what comes after is not begun."""
    root = write_group(0, 300, shards)
    cut = encoded_jpeg()[:200]
    for number in range(100):
        (root / f"pictures/cut {number}.jpg").write_bytes(cut)
    done = materialize(root, "cats/training_set")
    assert done.exit_code == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(lines) == shards
    for shard, line in enumerate(sorted(lines)):
        start = f"FAILED cats/images[{shard:02d}]: cats/images: not published, check failed: "
        assert line.startswith(f"{start}some_kept (inputs: ")
    assert not list((root / "data/cats").glob("*/manifest.parquet"))
    assert not (root / "data/cats/training_set").exists()


def encoded_jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG")
    return stream.getvalue()


def test_shards_of_a_few_files_are_judged_together(write_group: Any) -> None:
    """Each of two shards is all rejected; what reads them both says so, and of the pictures."""
    done = materialize(write_group(0, 6, shards=2), "cats/extractor")
    assert done.exit_code == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    where = "FAILED cats/training_set: cats/images: "
    assert line.startswith(f"{where}no picture to go on with: 0 kept, 6 rejected (4 ")


def test_what_was_rejected_is_told_when_made_and_when_up_to_date(write_group: Any) -> None:
    root = write_group(40, 6)
    told = materialize(root, "cats/training_set").stdout.splitlines()
    (made,) = [line for line in told if line.startswith("cats/images[00]: made in")]
    assert "; 40 kept, 6 rejected (4 " in made
    share = "few_rejected (at most: 0.1, share: 0.13)"
    assert f"cats/images[00]: check failed: {share}" in told
    assert f"cats/training_set: check failed: {share}" in told
    (made,) = [line for line in told if line.startswith("cats/training_set: made in")]
    assert made.endswith("; 20 to train on, 20 held out")
    (done,) = [line for line in told if line.startswith("done")]
    assert done.startswith("done: 2 made, 2 of them with a failed check; look at ")
    again = materialize(root, "cats/training_set").stdout.splitlines()
    assert again == [
        "up to date: 2",
        f"cats/images[00]: check failed: {share}",
        f"cats/training_set: check failed: {share}",
    ]
    assert "failed" not in materialize(root, "mnist/images").stdout
