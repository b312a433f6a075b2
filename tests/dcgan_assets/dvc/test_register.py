"""Records, and what Dagster knows of a clone that has them and what `dvc pull` brought."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from small_graph import MADE_AT_ONCE, SmallGraph

from dcgan_assets.definitions import build_definitions
from dcgan_assets.dvc.records import read_records, write_records
from dcgan_assets.dvc.register import NOT_HERE, Registered, register, register_released
from dcgan_assets.engine.metadata import encode, thumbnail
from dcgan_assets.engine.records import RECORDS, Record
from dcgan_assets.engine.served_results import FIGURES
from dcgan_models.errors import UserError
from dcgan_models.files import read_json, write_json

KEYS = [f"toy/{name}" for name in (*MADE_AT_ONCE, "discriminator")]
TO_REBUILD = ["toy/images", "toy/boxes", "toy/mean", "toy/constant"]


def call(graph: SmallGraph) -> Registered:
    catalogue = graph.catalogue()
    with graph.instance() as instance:
        return register(catalogue, instance, read_records(catalogue))


def states(graph: SmallGraph) -> dict[str, tuple[str, list[str]]]:
    """What the web UI shows of every asset and shard: its status, and why."""
    catalogue = graph.catalogue()
    assets = build_definitions(catalogue).resolve_asset_graph()
    found = {}
    with graph.instance() as instance:
        resolver = CachingStaleStatusResolver(instance, assets, LoadingContextForTest(instance))
        for step in catalogue.steps:
            for key in step.outputs:
                for shard in catalogue.shards(step):
                    asset = dg.AssetKey.from_user_string(key)
                    status = resolver.get_status(asset, shard)
                    causes = resolver.get_stale_causes(asset, shard)
                    found[catalogue.artefact(key, shard).label] = (
                        status.value,
                        [cause.reason for cause in causes],
                    )
    return found


def stale(graph: SmallGraph) -> dict[str, list[str]]:
    """Everything that is not fresh, with the reasons."""
    return {
        label: reasons
        for label, (status, reasons) in states(graph).items()
        if status != StaleStatus.FRESH.value
    }


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- Register ---------------------------------------------------------------------------------


def test_everything_is_fresh_in_a_clone_that_ran_nothing(clone: SmallGraph) -> None:
    assert {status for status, _ in states(clone).values()} == {"MISSING"}
    done = call(clone)
    assert set(done.new) == set(states(clone))
    assert sorted(done.to_rebuild) == sorted(TO_REBUILD)
    assert (done.known, done.superseded, done.not_pulled) == ([], [], [])
    assert stale(clone) == {}


def test_a_second_call_says_nothing_new(clone: SmallGraph) -> None:
    first = call(clone)
    again = call(clone)
    assert again.new == []
    assert sorted(again.known) == sorted(first.new)
    assert stale(clone) == {}


@pytest.mark.slow
def test_register_then_materialise_agree(released: SmallGraph, clone: SmallGraph) -> None:
    call(clone)
    ran = clone.run()
    assert ran.code == 0
    # What no remote keeps is made again, and comes out the same; nothing is trained.
    assert sorted(ran.made) == [
        "toy/boxes[00]",
        "toy/boxes[01]",
        "toy/constant",
        "toy/images[00]",
        "toy/images[01]",
        "toy/mean",
    ]
    for key in KEYS:
        assert clone.recorded(key) == released.recorded(key)
    for name in (
        "images",
        "boxes",
        "mean",
        "constant",
    ):  # byte for byte, so that DVC sees no change
        place = Path("data") / "toy" / name
        assert files(clone.root / place) == files(released.root / place)
    assert stale(clone) == {}
    assert clone.run().planned == []


@pytest.mark.slow
def test_a_chain_that_is_not_kept_is_registered_and_not_made(
    small: SmallGraph, dagster_home: Path
) -> None:
    """Candidate and quality are on no remote; nothing is trained for want of them."""
    names = ("images", "mean", "candidate", "extractor", "quality", "generator", "samples")
    assert small.only(*names).run().code == 0
    write_records(small.catalogue(), small.catalogue().steps)
    root = small.root.with_name("clone")
    root.mkdir()
    for name in ("models", "results", "records", "source"):
        shutil.copytree(small.root / name, root / name)
    shutil.rmtree(root / "models" / "toy" / "candidate")
    shutil.rmtree(root / "results" / "toy" / "quality")
    shutil.copytree(dagster_home, root / ".dagster_home")
    graph = SmallGraph(root, names)
    graph.change(**small.sections)
    call(graph)
    assert stale(graph) == {}
    # As dvc.yaml calls it, all at once, where the pictures are to be made again first.
    made = graph.run("toy/generator", "toy/candidate", "toy/quality", "toy/discriminator")
    assert sorted(made.made) == ["toy/images[00]", "toy/images[01]", "toy/mean"]
    assert stale(graph) == {}
    assert graph.run().planned == []
    # Asked for itself, it is made, and what it needs with it; all comes out the same.
    assert graph.run("toy/quality").made == ["toy/candidate", "toy/quality"]
    for step in graph.catalogue().steps:
        for key in step.outputs:
            assert graph.recorded(key) == small.recorded(key)


def test_materialise_then_register_agree(released: SmallGraph) -> None:
    done = call(released)
    assert (done.new, done.to_rebuild, done.superseded) == ([], [], [])
    assert stale(released) == {}
    assert released.run().planned == []


def test_metadata_and_checks(clone: SmallGraph) -> None:
    call(clone)
    with clone.instance() as instance:
        record = instance.fetch_materializations(dg.AssetKey(["toy", "mean"]), limit=1).records[0]
        check = instance.get_latest_asset_check_evaluation_record(
            dg.AssetCheckKey(dg.AssetKey(["toy", "mean"]), "bounded")
        )
    event = record.asset_materialization
    assert event is not None
    assert event.metadata["mean"].value == 1.5
    assert event.metadata["shards"].value == 2
    assert check is not None
    assert check.status.value == "SUCCEEDED"


def test_a_changed_parameter_is_the_reason(clone: SmallGraph) -> None:
    call(clone)
    clone.change(summary={"digits": 2})
    assert stale(clone) == {"toy/summary": ["has a new code version"]}


@pytest.mark.slow
def test_a_shard_that_changes_later_makes_its_consumers_stale(clone: SmallGraph) -> None:
    """The pointer is a real event's: with NULL nothing would ever be stale here."""
    call(clone)
    clone.run("toy/images")
    clone.write_source("01", 5.0)
    clone.run("toy/images", partition="01")
    assert stale(clone) == {
        "toy/boxes[01]": ["has a new dependency data version"],
        "toy/mean": ["has a new dependency data version"],
    }


def test_a_candidate_of_another_commit_is_not_in_the_way(released: SmallGraph) -> None:
    """The release stands in for it, as for one that is not there."""
    candidate = released.recorded("toy/candidate")
    released.change(seed=43)
    assert released.run("toy/candidate").made == ["toy/candidate"]
    assert released.recorded("toy/candidate") != candidate
    released.change(seed=42)
    done = call(released)
    assert (done.new, done.superseded, done.damaged) == (["toy/candidate"], [], [])
    assert released.recorded("toy/candidate") == candidate
    assert stale(released) == {}
    assert call(released).new == []


@pytest.mark.slow
def test_what_was_made_here_since_is_left_alone(clone: SmallGraph) -> None:
    call(clone)
    clone.change(samples={"count": 2})
    clone.run("toy/samples")
    newer = clone.recorded("toy/samples")
    done = call(clone)
    assert done.superseded == ["toy/samples"]
    assert clone.recorded("toy/samples") == newer


@pytest.mark.slow
def test_back_at_the_release_the_release_is_registered_again(
    released: SmallGraph, clone: SmallGraph
) -> None:
    call(clone)
    clone.change(samples={"count": 2})
    clone.run("toy/samples")
    clone.change(samples={"count": 4})
    place = clone.root / "results" / "toy" / "samples"
    shutil.rmtree(place)
    shutil.copytree(released.root / "results" / "toy" / "samples", place)  # `dvc checkout`
    assert "toy/samples" in call(clone).new
    assert clone.recorded("toy/samples") == released.recorded("toy/samples")
    assert stale(clone) == {}


def test_what_was_not_pulled_is_not_registered(clone: SmallGraph) -> None:
    shutil.rmtree(clone.root / "results")
    done = call(clone)
    assert done.not_pulled == ["toy/summary", "toy/samples"]
    assert set(stale(clone)) == {"toy/summary", "toy/samples"}


@pytest.mark.parametrize(
    ("name", "bad"), [("metrics.json", b"1"), ("result.json", b"1"), ("result.json", b"{ ")]
)
def test_what_was_damaged_on_the_way_is_named_and_the_rest_registered(
    clone: SmallGraph, name: str, bad: bytes
) -> None:
    path = clone.root / "results" / "toy" / "samples" / name
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"{", bad, 1))  # DVC takes it
    lines = register_released(clone.catalogue())
    assert next(lines) == "registered: 10 new, 0 known already"
    with pytest.raises(UserError, match=r"not registered: toy/samples; remove .* `dvc pull` again"):
        list(lines)
    assert list(stale(clone)) == ["toy/samples"]
    path.write_bytes(content)
    assert call(clone).new == ["toy/samples"]
    assert stale(clone) == {}


def test_a_release_with_other_shards_is_not_mixed_in(clone: SmallGraph) -> None:
    clone.change(images={"shards": 3}, boxes={"shards": 3})
    done = call(clone)
    assert not [label for label in done.new if label.startswith(("toy/images", "toy/boxes"))]


# --- Records ----------------------------------------------------------------------------------


def test_a_record_says_what_was_released(released: SmallGraph) -> None:
    content = read_json(released.root / RECORDS / "toy" / "images.json")
    assert content["licence"] == "restricted"
    assert [entry["shard"] for entry in content["entries"]] == ["00", "01"]
    for entry in content["entries"]:
        assert entry["data_version"] == released.meta("toy/images", entry["shard"]).data_version
    summary = Record.model_validate(read_json(released.root / RECORDS / "toy" / "summary.json"))
    (entry,) = summary.entries
    assert summary.licence == "open"
    assert set(entry.inputs) == {"toy/boxes[00]", "toy/boxes[01]", "toy/mean"}
    assert entry.bytes == sum(f["size"] for f in released.meta("toy/summary").files.values())


def test_writing_twice_gives_the_same_bytes(released: SmallGraph) -> None:
    folder = released.root / RECORDS
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    (released.root / f".{RECORDS}.0123abcd.part").mkdir()
    assert set(write_records(released.catalogue(), released.catalogue().steps)) == set(KEYS)
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before
    assert not list(released.root.glob(f".{RECORDS}.*"))


@pytest.mark.slow
def test_a_candidate_that_was_not_pulled_keeps_its_record(clone: SmallGraph) -> None:
    call(clone)
    clone.run()
    before = read_json(clone.root / RECORDS / "toy" / "candidate.json")
    write_records(clone.catalogue(), clone.catalogue().steps)
    assert read_json(clone.root / RECORDS / "toy" / "candidate.json") == before


def edit(graph: SmallGraph, key: str, change: Any) -> None:
    path = graph.root / RECORDS / f"{key}.json"
    content = read_json(path)
    change(content)
    write_json(path, content)


def say_another_version(content: Any) -> None:
    content["entries"][0]["data_version"] = "0" * 32


def say_too_much(content: Any) -> None:
    content["entries"][0]["colour"] = "red"


def say_another_asset(content: Any) -> None:
    content["asset"] = "toy/samples"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (say_another_version, r"records/toy/summary\.json: made from toy/mean .*git checkout"),
        (say_too_much, r"records/toy/mean\.json: not a record: entries\.0\.colour: Extra"),
        (say_another_asset, r"records/toy/mean\.json: says that it is about 'toy/samples'"),
    ],
)
def test_a_record_edited_by_hand_is_one_line(clone: SmallGraph, change: Any, expected: str) -> None:
    edit(clone, "toy/mean", change)
    with pytest.raises(UserError, match=expected) as caught:
        call(clone)
    assert "\n" not in str(caught.value)
    assert {status for status, _ in states(clone).values()} == {"MISSING"}


def test_a_record_cut_short_is_one_line(clone: SmallGraph) -> None:
    path = clone.root / RECORDS / "toy" / "mean.json"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"records/toy/mean\.json: not readable"):
        call(clone)


# --- Pictures -------------------------------------------------------------------------------


def test_thumbnails_of_what_may_not_be_passed_on_are_left_out() -> None:
    from dcgan_assets.engine.metadata import without_thumbnails

    figure = dg.MetadataValue.md("![figure.png](/results/cats/samples/figure.png)")
    told = encode({"a": thumbnail(np.zeros((4, 6, 1), np.uint8), "x"), "b": figure, "loss": 0.5})
    assert set(without_thumbnails(told)) == {"b", "loss"}


def test_what_is_not_on_this_disk_says_so_on_its_page(clone: SmallGraph) -> None:
    """A figure by its address could not be seen there; its thumbnail came with the record."""
    call(clone)
    with clone.instance() as instance:
        events = {
            name: instance.fetch_materializations(dg.AssetKey(["toy", name]), limit=1).records[0]
            for name in ("images", "mean", "candidate", "generator", "samples")
        }
    shown = {name: record.asset_materialization for name, record in events.items()}
    absent = {
        name: event.metadata[NOT_HERE].value
        for name, event in shown.items()
        if event is not None and NOT_HERE in event.metadata
    }
    why = "made of pictures that may not be passed on"
    way = "only a way to what is published, which stands without it"
    assert absent == {
        "images": f"{why}; `dcgan materialize toy/images` makes it",
        "mean": f"{why}; `dcgan materialize toy/mean` makes it",
        "candidate": f"{way}; `dcgan materialize toy/candidate` makes it",
    }
    candidate, samples = shown["candidate"], shown["samples"]
    assert candidate is not None
    assert samples is not None
    assert str(candidate.description).endswith("; not on this disk")
    assert "not on this disk" not in str(samples.description)
    assert FIGURES not in candidate.metadata
    assert str(candidate.metadata["losses.png"].value).startswith("![losses.png](data:image/jpeg")
