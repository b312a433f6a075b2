"""The bridge to DVC: what Dagster made is booked and pushed, and a failure of DVC costs nothing."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dying_dvc import DyingDvc
from dying_process import forked
from small_graph import SmallGraph

from dcgan_assets.definitions import build_definitions
from dcgan_assets.dvc import dvc_commands
from dcgan_assets.dvc.booked import unbooked
from dcgan_assets.dvc.commit import publish
from dcgan_assets.dvc.dvc_commands import run_dvc
from dcgan_assets.params.yaml_files import read_yaml
from dcgan_models.errors import UserError

slow = pytest.mark.slow
NAMES = ("images", "mean", "candidate", "generator", "samples", "constant")
KEPT = ["toy-images", "toy-mean", "toy-generator", "toy-samples", "toy-constant"]


@pytest.fixture
def kept(small: SmallGraph) -> SmallGraph:
    """A workspace under DVC, nothing made yet."""
    return small.only(*NAMES).under_dvc()


def changed(graph: SmallGraph) -> dict[str, Any]:
    """The stages that DVC sees as changed."""
    return graph.dvc_status()


def stages(graph: SmallGraph) -> dict[str, Any]:
    """The stages in dvc.yaml."""
    found: dict[str, Any] = read_yaml(graph.root / "dvc.yaml")["stages"]
    return found


def objects(folder: Path) -> set[str]:
    """The hashes of what a remote or a cache holds."""
    return {path.parent.name + path.name for path in folder.glob("files/md5/*/*")}


def spoil_the_lock_file(graph: SmallGraph) -> None:
    """What an edit by hand may come to."""
    (graph.root / "dvc.lock").write_text("stages: [1, 2\n", encoding="utf-8")


def implicit_run(graph: SmallGraph, *keys: str) -> Any:
    """A run as the web UI starts it."""
    job = build_definitions(graph.catalogue()).resolve_implicit_global_asset_job_def()
    with graph.instance() as instance:
        return job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey.from_user_string(key) for key in keys],
            raise_on_error=False,
        )


# --- Where there is nothing to do -------------------------------------------------------------


def test_it_keeps_away_while_dvc_itself_is_at_work(
    kept: SmallGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.only("constant").change(machine={"dvc": "off"})
    assert kept.run().starting("dvc") == []
    kept.change(machine={"dvc": "commit"})
    monkeypatch.setenv("DVC_STAGE", "toy-constant")
    assert publish(kept.catalogue()) == []
    assert not (kept.root / "dvc.lock").exists()


def test_a_folder_without_dvc_is_left_alone(small: SmallGraph) -> None:
    ran = small.only("constant").run()
    assert (ran.code, ran.starting("dvc")) == (0, [])


def test_without_git_it_keeps_away_unless_dvc_was_told_to_work_without(kept: SmallGraph) -> None:
    (kept.root / ".git").rename(kept.root / "git")  # as in an archive of a checkout
    kept.only("constant")
    assert kept.run().code == 0
    assert publish(kept.catalogue()) == []
    kept.dvc("config", "core.no_scm", "true")
    assert publish(kept.catalogue()) == ["toy-constant"]


def test_what_was_made_of_other_parameters_is_not_booked_under_these(kept: SmallGraph) -> None:
    kept.only("constant").change(machine={"dvc": "off"})
    kept.run()
    opened = kept.catalogue()
    assert opened.workspace.params.constant.value == 7
    kept.change(constant={"value": 8}, machine={"dvc": "commit"})  # while it was at work
    assert publish(opened) == []
    assert not (kept.root / "dvc.lock").exists()


@slow
def test_what_dvc_would_miss_is_not_booked(small: SmallGraph) -> None:
    page = small.only("images", "mean", "constant", "page").under_dvc()
    assert page.run("toy/page", "toy/constant").code == 0
    assert stages(page)["toy-page"]["deps"] == ["data/toy/constant"]  # of what there is
    assert "dvc: 3 committed" in page.run().lines
    assert stages(page)["toy-page"]["deps"] == ["data/toy/constant", "data/toy/mean"]
    shutil.rmtree(page.root / "data" / "toy" / "mean")  # as in a clone
    assert "toy/page" in page.run("toy/page").made
    page.write_source("00", 9.0)
    found = changed(page)
    assert list(found) == ["toy-images", "toy-mean", "toy-page"]
    assert found["toy-images"] == [{"changed deps": {"source": "modified"}}]


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("dvc.yaml", "mend it, or remove it, and `dcgan dvc-sync` writes it anew"),
        ("dvc.lock", "`git checkout dvc.lock` "),
    ],
)
@pytest.mark.parametrize(
    "content", ["stages: [\n", "stages: [1, 2]\n", "stages: {a: 1}\n", "- a\n"]
)
def test_a_file_of_dvcs_that_is_not_readable_is_one_line(
    kept: SmallGraph, name: str, cure: str, content: str
) -> None:
    kept.only("constant").change(machine={"dvc": "off"})
    kept.run()
    kept.change(machine={"dvc": "commit"})
    (kept.root / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=f"{name}: not readable; {cure}"):
        publish(kept.catalogue())


# --- With DVC ---------------------------------------------------------------------------------


@slow
def test_what_was_made_is_booked_and_pictures_stay_out_of_the_cache(kept: SmallGraph) -> None:
    ran = kept.run()
    assert ran.code == 0
    assert f"dvc: {len(KEPT)} committed" in ran.lines
    assert changed(kept) == {}
    cached = objects(kept.root / ".dvc" / "cache")
    networks = {path.name for path in (kept.root / "models").rglob("*.json")}
    assert cached
    assert networks >= {"weights.json", "_meta.json"}
    locked = (kept.root / "dvc.lock").read_text("utf-8")
    assert all(f"  {stage}:" in locked for stage in KEPT)
    # Only what may be passed on: two networks and a result, and the list of files of each.
    assert len([name for name in cached if name.endswith(".dir")]) == 3


@slow
def test_a_failed_push_fails_the_publishing_alone(kept: SmallGraph) -> None:
    (kept.root / "dvc-remote").write_text("in the way", encoding="utf-8")
    kept.change(machine={"dvc": "push"})
    ran = kept.run()
    (line,) = ran.starting("FAILED")
    assert ran.code == 1
    assert line.startswith("FAILED dvc: `dvc push` failed: ")
    assert "toy/samples" not in line
    assert kept.meta("toy/samples").data_version == kept.recorded("toy/samples")[None]
    assert changed(kept) == {}  # booked, and DVC's lock is free
    (kept.root / "dvc-remote").unlink()
    assert publish(kept.catalogue()) == KEPT
    assert objects(kept.root / "dvc-remote") == objects(kept.root / ".dvc" / "cache")


@slow
def test_a_run_of_the_ui_publishes_by_its_hook(kept: SmallGraph) -> None:
    assert implicit_run(kept, "toy/constant").success
    assert "toy-constant" not in changed(kept)
    spoil_the_lock_file(kept)
    kept.change(constant={"value": 8})
    result = implicit_run(kept, "toy/constant")
    assert result.success
    assert kept.recorded("toy/constant") == {None: kept.meta("toy/constant").data_version}
    (failure,) = [e for e in result.all_events if e.event_type_value == "HOOK_ERRORED"]
    assert "dvc.lock: not readable; " in failure.event_specific_data.error.message


@slow
def test_the_job_publishes_everything_and_fails_in_one_line(kept: SmallGraph) -> None:
    kept.change(machine={"dvc": "off"})
    kept.run()
    kept.change(machine={"dvc": "commit"})
    job = build_definitions(kept.catalogue()).resolve_job_def("dvc_publish")
    with kept.instance() as instance:
        assert job.execute_in_process(instance=instance).success
        assert changed(kept) == {}
        spoil_the_lock_file(kept)
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert not result.success
    line = failure.step_failure_data.user_failure_data.description
    assert "dvc.lock: not readable; " in line
    assert "\n" not in line


@slow
def test_a_dvc_that_was_killed_leaves_nothing_in_the_way(
    kept: SmallGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 of DVC while it fills its cache."""
    kept.change(machine={"dvc": "off"})
    kept.run()
    kept.change(machine={"dvc": "commit"})
    dying = DyingDvc("commit", kept.root / ".dvc" / "cache")
    monkeypatch.setattr(dvc_commands.subprocess, "Popen", dying)
    with pytest.raises(UserError, match="`dvc commit` failed"):
        publish(kept.catalogue())
    monkeypatch.undo()
    assert [victim.returncode for victim in dying.victims] == [-signal.SIGKILL]
    assert publish(kept.catalogue()) == KEPT
    assert changed(kept) == {}


@slow
@pytest.mark.parametrize("keys", [(), ("toy/constant",)], ids=["nothing-to-make", "another-asset"])
def test_what_a_killed_command_made_is_booked_by_the_next_one(
    kept: SmallGraph, keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies when all is made and DVC is about to be called."""
    made = ["toy/samples"] if keys else []
    monkeypatch.setattr(
        "dcgan_assets.dvc.commit.run_dvc", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    )
    assert os.WIFSIGNALED(forked(lambda: kept.run(*made)))
    monkeypatch.undo()
    assert kept.meta("toy/samples")
    assert not (kept.root / "dvc.lock").exists()
    ran = kept.run(*keys)
    assert ran.code == 0
    assert f"dvc: {len(KEPT)} committed" in ran.lines
    assert changed(kept) == {}
    assert kept.run().starting("dvc") == []


@slow
def test_what_the_cache_has_lost_is_committed_again(kept: SmallGraph) -> None:
    assert kept.run().code == 0
    assert unbooked(kept.root, KEPT) == {}
    cached = sorted((kept.root / ".dvc/cache/files/md5").glob("*/*"))
    next(path for path in cached if path.suffix != ".dir").unlink()
    lost = unbooked(kept.root, KEPT)
    assert set(lost.values()) == {"not in cache"}
    assert f"dvc: {len(lost)} committed" in kept.run("toy/constant").lines
    assert unbooked(kept.root, KEPT) == {}
    assert unbooked(kept.root, ["toy-page"]) == {"toy-page": "not in dvc.yaml"}


@slow
def test_a_dvc_that_ends_well_and_has_kept_nothing_is_one_line(
    kept: SmallGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full in the middle of it."""

    def call(root: Path, *arguments: str) -> str:
        said = run_dvc(root, *arguments)
        for path in (root / ".dvc/cache/files/md5").glob("*/*"):
            path.unlink()
        return said

    monkeypatch.setattr("dcgan_assets.dvc.commit.run_dvc", call)
    ran = kept.run()
    (line,) = ran.starting("FAILED dvc: ")
    assert ran.code == 1
    assert "does not hold 2 of 5: toy-generator (not in cache), toy-samples (not in cache)" in line
    assert "is the disk full?" in line


@slow
def test_what_dvc_says_is_one_line(kept: SmallGraph) -> None:
    with pytest.raises(UserError) as caught:
        run_dvc(kept.root, "push", "--remote", "nowhere")
    assert "remote 'nowhere' doesn't exist" in str(caught.value)
    assert "\n" not in str(caught.value)
