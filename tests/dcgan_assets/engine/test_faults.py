"""What disks, remotes, editors and kill -9 do to a workspace: nothing published is lost.

After each fault `dcgan doctor` names what is wrong and what to do; it is done, and then all is
well again.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dying_dvc import DyingDvc
from small_graph import MADE_AT_ONCE, SmallGraph

from dcgan_assets.dvc import dvc_commands
from dcgan_assets.dvc.commit import publish
from dcgan_assets.dvc.dvc_commands import read_status, run_dvc
from dcgan_assets.dvc.integrity import examine_books
from dcgan_assets.dvc.register import register_released
from dcgan_assets.dvc.release import REMOTE, make_release
from dcgan_assets.dvc.reproduce import reproduce
from dcgan_assets.dvc.status import read_standing
from dcgan_assets.engine.records import RECORDS
from dcgan_models.errors import UserError

slow = pytest.mark.slow
_SAMPLES = Path("results") / "toy" / "samples"
_TOPS = ("data", "models", "results")


@pytest.fixture(scope="module")
def booked_once(template: SmallGraph, memory: str | None) -> Iterator[SmallGraph]:
    """Everything made, booked in DVC, released, and in git. To be copied."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=memory) as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
            patch.setenv(name, "unset")
        root = Path(folder) / "booked"
        shutil.copytree(template.root, root)
        graph = SmallGraph(root, template.names, dict(template.sections))
        graph.change(machine={"dvc": "commit"})
        graph.under_dvc()
        make_release(graph.catalogue())
        graph.commit_all("a release")
        yield graph


@pytest.fixture
def booked(booked_once: SmallGraph, fast_disk: Path) -> SmallGraph:
    """A workspace of a release; its files are linked into DVC's cache, as DVC leaves them."""
    root = fast_disk / "booked"
    subprocess.run(["cp", "--archive", booked_once.root, root], check=True)  # keeps the links
    return SmallGraph(root, booked_once.names, dict(booked_once.sections))


@pytest.fixture
def clone(booked: SmallGraph, dagster_home: Path) -> SmallGraph:
    """A clone of it, before `dvc pull`."""
    root = booked.root.with_name("clone")
    booked.call("git", "clone", "--quiet", str(booked.root), str(root))
    shutil.copytree(dagster_home, root / ".dagster_home")
    graph = SmallGraph(root, booked.names, dict(booked.sections)).only(*MADE_AT_ONCE)
    copy_times(booked, graph)
    return graph


def copy_times(booked: SmallGraph, clone: SmallGraph) -> None:
    """The version of the source is its listing, with the times, which git does not keep."""
    for path in (booked.root / "source").iterdir():
        shutil.copystat(path, clone.root / "source" / path.name)


def bad(graph: SmallGraph) -> dict[str, str]:
    """What `dcgan doctor` says of the books that is not in order."""
    found = examine_books(graph.catalogue())
    return {finding.what: finding.detail for finding in found if finding.state != "ok"}


def published(graph: SmallGraph) -> dict[str, bytes]:
    return {
        path.relative_to(graph.root).as_posix(): path.read_bytes()
        for top in _TOPS
        for path in (graph.root / top).rglob("*")
        if path.is_file()
    }


def changed(graph: SmallGraph) -> Any:
    return graph.dvc_status()


def damage(path: Path) -> None:
    """Other bytes of the same number, as a disk does it: every name of the file has them."""
    content = path.read_bytes()
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.write(bytes([content[0] ^ 1]))
    path.chmod(0o444)


def copy_in(folder: Path, path: Path) -> Path:
    """The object of the same bytes in a cache or a remote."""
    content = path.read_bytes()
    (found,) = [p for p in folder.rglob("*") if p.is_file() and p.read_bytes() == content]
    return found


# --- Disks ------------------------------------------------------------------------------------


@slow
def test_all_is_well_before_anything_happens(booked: SmallGraph) -> None:
    assert bad(booked) == {}
    assert changed(booked) == {}
    assert {f.what for f in examine_books(booked.catalogue())} == {
        *("dvc.yaml", "dvc.lock", "records", "DVC cache", REMOTE, "published")
    }


@slow
def test_a_damaged_object_is_damaged_in_the_workspace_too_and_is_pulled_again(
    booked: SmallGraph,
) -> None:
    before = published(booked)
    booked.dvc("checkout", "--relink")  # as after a pull: one file under two names
    result = booked.root / _SAMPLES / "result.json"
    cached = copy_in(booked.root / ".dvc" / "cache", result)
    assert cached.samefile(result)
    damage(cached)
    found = bad(booked)
    assert set(found) == {"DVC cache", "published"}
    assert "1 of " in found["DVC cache"]
    assert cached.relative_to(booked.root).as_posix() in found["DVC cache"]
    assert f"{_SAMPLES.as_posix()}/result.json" in found["published"]
    assert f"remove {_SAMPLES.as_posix()}, then `dvc pull`" in found["published"]

    cached.unlink()
    shutil.rmtree(booked.root / _SAMPLES)
    booked.dvc("pull", _SAMPLES.as_posix())
    assert published(booked) == before
    assert bad(booked) == {}


@slow
def test_an_object_damaged_in_the_cache_alone_is_committed_again(booked: SmallGraph) -> None:
    before = published(booked)
    cached = copy_in(booked.root / ".dvc" / "cache", booked.root / _SAMPLES / "result.json")
    damage(cached)
    assert set(bad(booked)) == {"DVC cache"}
    cached.unlink()
    assert "toy-samples" in publish(booked.catalogue())
    assert cached.exists()
    assert published(booked) == before
    assert bad(booked) == {}


@slow
def test_a_file_damaged_in_the_workspace_is_made_again_without_a_remote(
    booked: SmallGraph,
) -> None:
    before = published(booked)
    shutil.rmtree(booked.root / REMOTE)
    damage(booked.root / _SAMPLES / "metrics.json")
    assert set(bad(booked)) == {"published"}
    shutil.rmtree(booked.root / _SAMPLES)
    ran = booked.run("toy/samples")
    assert (ran.code, ran.made) == (0, ["toy/samples"])
    assert published(booked) == before
    assert bad(booked) == {}
    assert changed(booked) == {}


@slow
def test_a_damaged_object_of_the_remote_is_not_shown_as_released(
    booked: SmallGraph, clone: SmallGraph
) -> None:
    held = copy_in(clone.root / REMOTE, booked.root / _SAMPLES / "result.json")
    damage(held)
    assert "1 of " in bad(clone)[REMOTE]
    clone.dvc("pull")
    with pytest.raises(UserError, match=r"damaged on the way here.*toy/samples"):
        list(register_released(clone.catalogue()))
    with pytest.raises(UserError, match="1 of 3 are not as released"):
        list(reproduce(clone.catalogue(), ("toy/samples",), 0.005))

    # What doctor says: the remote from git, the cache and the folder away, and pull again.
    clone.call("git", "checkout", REMOTE)
    assert set(bad(clone)) == {"DVC cache", "published"}
    shutil.rmtree(clone.root / ".dvc" / "cache")
    shutil.rmtree(clone.root / _SAMPLES)
    clone.dvc("pull")
    assert bad(clone) == {}
    assert any(
        line.startswith("registered: 1 new") for line in register_released(clone.catalogue())
    )


# --- Remotes ----------------------------------------------------------------------------------


@slow
@pytest.mark.parametrize("how", ["gone", "emptied", "wrong"])
def test_a_remote_that_is_gone_empty_or_elsewhere(
    booked: SmallGraph, clone: SmallGraph, how: str
) -> None:
    if how == "gone":
        shutil.rmtree(clone.root / REMOTE)
    elif how == "emptied":
        shutil.rmtree(clone.root / REMOTE / "files")
    else:
        clone.dvc("remote", "modify", "results", "url", "../no-such-place")
    with pytest.raises(UserError, match="`dvc pull` failed: ") as caught:
        list(reproduce(clone.catalogue(), (), 0.005))
    assert "\n" not in str(caught.value)
    lines = list(register_released(clone.catalogue()))
    assert any(line.startswith("not here, run `dvc pull` and register again: ") for line in lines)
    assert bad(clone) == {}
    clone.call("git", "checkout", ".")
    clone.dvc("pull")
    assert any(
        line.startswith("registered: 4 new") for line in register_released(clone.catalogue())
    )
    # What DVC calls deleted inputs are the pictures, which no remote keeps.
    copy_times(booked, clone)
    found, advice = read_standing(clone.catalogue()).lines()
    assert found == "9 of 9 assets in order"
    assert advice.startswith("4 not here, as DVC does not keep them; ")


@contextmanager
def full_disk() -> Iterator[None]:
    """No process writes more than a few bytes into a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@slow
@pytest.mark.parametrize("how", ["read-only", "full"])
def test_a_remote_that_takes_nothing(booked: SmallGraph, how: str) -> None:
    """The push fails in one line; what was made is published, booked, and pushed later."""
    booked.change(samples={"count": 2})
    assert booked.run("toy/samples").code == 0
    before = published(booked)
    remote = booked.root.with_name("remote")
    place = "/proc/sys/remote" if how == "read-only" else str(remote)  # even root cannot write it
    booked.dvc("remote", "modify", "--local", "results", "url", place)
    booked.change(machine={"dvc": "push"})
    if how == "full":
        with full_disk(), pytest.raises(UserError) as caught:
            run_dvc(booked.root, "push")
    else:
        with pytest.raises(UserError) as caught:
            publish(booked.catalogue())
    assert str(caught.value).startswith("`dvc push` failed: ")
    assert "\n" not in str(caught.value)
    assert published(booked) == before
    assert bad(booked) == {}
    assert any("unpushed" in line for line in read_standing(booked.catalogue()).lines())
    # What we ask in one process is what DVC's own commands say.
    booked.change(samples={"count": 3})
    changed = json.loads(run_dvc(booked.root, "status", "--json"))
    data = json.loads(run_dvc(booked.root, "data", "status", "--not-in-remote", "--json"))
    assert changed
    assert data["not_in_remote"]
    assert read_status(booked.root) == (changed, data["not_in_remote"])

    booked.change(samples={"count": 2})
    booked.dvc("remote", "modify", "--local", "results", "url", str(remote))
    assert publish(booked.catalogue())
    lines = read_standing(booked.catalogue()).lines()
    assert not [line for line in lines if "unpushed" in line or "uncommitted" in line]


# --- Edits by hand ----------------------------------------------------------------------------


def cut_the_lock_file(graph: SmallGraph) -> str:
    (graph.root / "dvc.lock").write_text("stages: [1, 2\n", encoding="utf-8")
    return "dvc.lock"


def unhinge_the_lock_file(graph: SmallGraph) -> str:
    (graph.root / "dvc.lock").write_text("7\n", encoding="utf-8")
    return "dvc.lock"


def spoil_a_record(graph: SmallGraph) -> str:
    path = graph.root / RECORDS / "toy" / "mean.json"
    path.write_text(path.read_text("utf-8").replace('"restricted"', '"free"'), encoding="utf-8")
    return "records"


def change_a_stage(graph: SmallGraph) -> str:
    path = graph.root / "dvc.yaml"
    path.write_text(path.read_text("utf-8").replace("--only", "--force"), encoding="utf-8")
    return "dvc.yaml"


@slow
@pytest.mark.parametrize(
    "edit", [cut_the_lock_file, unhinge_the_lock_file, spoil_a_record, change_a_stage]
)
def test_an_edit_by_hand_is_named_and_git_has_the_old_one(
    booked: SmallGraph, edit: Callable[[SmallGraph], str]
) -> None:
    before = published(booked)
    what = edit(booked)
    (complaint,) = bad(booked).values()
    assert set(bad(booked)) == {what}
    assert "git checkout" in complaint or "dvc-sync" in complaint or "not a record" in complaint
    booked.call("git", "checkout", what)
    assert bad(booked) == {}
    assert published(booked) == before
    assert changed(booked) == {}


@slow
def test_another_hash_in_the_lock_file_is_uncommitted_and_committed_again(
    booked: SmallGraph,
) -> None:
    before = published(booked)
    path = booked.root / "dvc.lock"
    lines = path.read_text("utf-8").splitlines()
    place = next(i for i, line in enumerate(lines) if line.endswith(_SAMPLES.as_posix()))
    number = next(i for i in range(place, len(lines)) if "md5: " in lines[i])
    lines[number] = "      md5: 00000000000000000000000000000000.dir"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (row,) = [
        line for line in read_standing(booked.catalogue()).lines() if line.startswith("toy/samples")
    ]
    assert "uncommitted" in row
    assert "toy-samples" in publish(booked.catalogue())
    assert changed(booked) == {}
    assert booked.call("git", "status", "--short") == ""
    assert published(booked) == before


# --- Two at once ------------------------------------------------------------------------------


@slow
def test_two_publish_at_once(booked: SmallGraph) -> None:
    booked.change(samples={"count": 2}, summary={"digits": 1}, machine={"dvc": "off"})
    assert booked.run("toy/samples", "toy/summary").code == 0
    booked.change(machine={"dvc": "commit"})
    done: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda key=key: done.append(publish(booked.catalogue(), {key})))
        for key in ("toy/samples", "toy/summary")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each books what it was told, and whichever comes first what the other one has made as well.
    assert len(done) == 2
    assert {name for names in done for name in names} == {"toy-samples", "toy-summary"}
    assert changed(booked) == {}
    assert bad(booked) == {}


@slow
def test_while_the_user_has_dvc_at_work_it_is_one_line(booked: SmallGraph) -> None:
    from dvc.repo import Repo

    booked.change(samples={"count": 2})
    with Repo(str(booked.root)) as repo, repo.lock:
        ran = booked.run("toy/samples")
    (line,) = ran.starting("FAILED")
    assert ran.code == 1
    assert line.startswith("FAILED dvc: `dvc commit` failed: ")
    assert "lock" in line
    assert booked.recorded("toy/samples")[None] == booked.meta("toy/samples").data_version
    assert publish(booked.catalogue())
    assert changed(booked) == {}


# --- kill -9 ----------------------------------------------------------------------------------


@slow
@pytest.mark.parametrize("call", ["commit", "push"])
def test_dvc_killed_at_work_leaves_nothing_in_the_way(
    booked: SmallGraph, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It dies when the first new object has come to where objects go."""
    remote = booked.root.with_name("remote")
    booked.dvc("remote", "modify", "--local", "results", "url", str(remote))
    booked.change(samples={"count": 2}, machine={"dvc": "off"})
    assert booked.run("toy/samples").code == 0
    before = published(booked)
    booked.change(machine={"dvc": "push"})
    goal = remote if call == "push" else booked.root / ".dvc" / "cache"
    dying = DyingDvc(call, goal)
    monkeypatch.setattr(dvc_commands.subprocess, "Popen", dying)
    with pytest.raises(UserError, match=f"`dvc {call}` failed"):
        publish(booked.catalogue())
    monkeypatch.undo()
    assert [victim.returncode for victim in dying.victims] == [-signal.SIGKILL]
    assert published(booked) == before
    # DVC gives an object of its cache its name before its bytes; the next commit mends it.
    assert set(bad(booked)) <= ({"DVC cache"} if call == "commit" else set())
    assert publish(booked.catalogue())
    assert bad(booked) == {}
    assert changed(booked) == {}
    assert not [line for line in read_standing(booked.catalogue()).lines() if "unpushed" in line]


_KILLED_RELEASE = """
import os, signal, sys
from pathlib import Path
from dcgan_assets.dvc import {module} as module
from dcgan_assets.dvc.release import make_release
from small_graph import MADE_AT_ONCE, SmallGraph

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

module.{name} = die
make_release(SmallGraph(Path(sys.argv[1])).only(*MADE_AT_ONCE).catalogue())
"""


@slow
@pytest.mark.parametrize(("module", "name"), [("release", "swap_in"), ("release", "write_records")])
def test_a_release_killed_half_way(booked: SmallGraph, module: str, name: str) -> None:
    """Before the remote is swapped, and between remote and records."""
    booked.change(samples={"count": 2})
    assert booked.run("toy/samples").code == 0
    before = published(booked)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_RELEASE.format(module=module, name=name), booked.root],
        cwd=booked.root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert published(booked) == before
    left = bad(booked)
    assert set(left) <= {"left over"}
    assert make_release(booked.catalogue()).records == 9
    assert bad(booked) == {}
