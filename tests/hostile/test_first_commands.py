"""First commands that are killed while they make Dagster's home, and several of them at once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dying_process import counted, forked

from dcgan_assets.cli import main
from dcgan_assets.engine.databases import _databases, _stands
from dcgan_assets.engine.instance import open_instance, prepare_home
from dcgan_assets.engine.workspace import MARKER, Workspace
from dcgan_assets.params.file import PARAMS_FILE, profile_text
from dcgan_models.errors import UserError
from dcgan_models.files import tree_files

slow = pytest.mark.slow
# Of all that a first command does to files and databases, after what share it is killed.
MOMENTS = [
    pytest.param(number / 20, marks=() if number in (7, 14) else slow, id=f"{number}-of-20")
    for number in range(20)
]


def _ours(root: Path) -> None:
    prepare_home(Workspace(root))


def _dagsters_own(root: Path) -> None:
    """As versions before this one made it."""
    (root / ".dagster_home").mkdir()
    DagsterSqliteStorage.from_local(str(root / ".dagster_home"))


def _and_the_next_command(root: Path) -> None:
    """As the command after it in those versions left it, which took it for one of old."""
    with suppress(Exception):
        DagsterSqliteStorage.from_local(str(root / ".dagster_home")).dispose()


def _nothing(root: Path) -> None: ...


WAYS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "ours": (_ours, _nothing),
    "of-earlier-versions": (_dagsters_own, _nothing),
    "and-the-next-command-of-those": (_dagsters_own, _and_the_next_command),
}


@pytest.fixture(scope="module")
def lengths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many steps the making of a home is, by way."""
    # What is imported with it is no step of it.
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
            patch.setenv(name, "unset")
        for warm in (_ours, _dagsters_own):
            warm(tmp_path_factory.mktemp("warm"))
    found = {}
    for way, (make, _) in WAYS.items():
        root = tmp_path_factory.mktemp("whole")
        steps = root / "steps"
        status = forked(partial(counted, partial(make, root), float("inf"), steps))
        assert status == 0
        found[way] = int(steps.read_text(encoding="utf-8"))
    return found


def require_whole(root: Path) -> None:
    """Open a home, book a run in it, and find nothing half-made in it."""
    with open_instance(Workspace(root)) as instance:
        instance.add_run(dg.DagsterRun("job"))
        assert instance.get_runs_count() == 1
        instance.event_log_storage.get_concurrency_keys()
        assert instance.all_instigator_state() == []
    home = root / ".dagster_home"
    assert all(map(_stands, _databases(home)))
    fresh = {"dagster.yaml", "history/runs.db", "history/runs/index.db", "schedules/schedules.db"}
    assert {*tree_files(home)} >= fresh


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_home_whose_making_was_killed_is_made_whole(
    place: Path, lengths: dict[str, int], way: str, moment: float
) -> None:
    make, then = WAYS[way]
    length = lengths[way]
    for number in range(5):
        root = place / str(number)
        root.mkdir()
        steps = root / "steps"
        killed = forked(partial(counted, partial(make, root), 1 + moment * length, steps))
        if os.WIFSIGNALED(killed):
            break
        # Now it has fewer steps, because some were of what came before: it says how many.
        length = int(steps.read_text(encoding="utf-8"))
    else:
        pytest.fail("it came to its end")
    then(root)
    require_whole(root)


@pytest.mark.parametrize("name", ["history/runs.db", "history/runs/index.db"])
def test_the_half_of_a_database_that_holds_a_record_stays(place: Path, name: str) -> None:
    home = prepare_home(Workspace(place))
    with closing(sqlite3.connect(home / name)) as connection, connection:
        connection.execute("DROP TABLE alembic_version")
        connection.execute("DROP TABLE secondary_indexes")
        connection.execute("CREATE TABLE more AS SELECT 'a record'")
    with suppress(UserError), open_instance(Workspace(place)):  # Dagster mends some of them itself
        pass
    with closing(sqlite3.connect(home / name)) as connection:
        assert connection.execute("SELECT * FROM more").fetchall() == [("a record",)]


def test_a_journal_of_another_database_is_not_replayed_into_the_new_one(place: Path) -> None:
    home = place / ".dagster_home"
    (home / "history").mkdir(parents=True)
    with closing(sqlite3.connect(home / "old.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE old (x)")
        connection.commit()
        shutil.copyfile(home / "old.db-wal", home / "history/runs.db-wal")
    (home / "history/runs.db").touch()
    require_whole(place)


# --- Several at once ------------------------------------------------------------------------


def at_once(number: int, root: Path) -> list[int]:
    """The statuses of as many processes that open a home in the same moment and book a run."""
    gate, opened = os.pipe()
    children = []
    for _ in range(number):
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                os.close(opened)
                os.read(gate, 1)  # until the last writer is gone
                with open_instance(Workspace(root)) as instance:
                    instance.add_run(dg.DagsterRun("job"))
                os._exit(0)
            os._exit(1)
        children.append(child)
    os.close(opened)
    os.close(gate)
    return [os.waitpid(child, 0)[1] for child in children]


@pytest.mark.parametrize("number", [2, 6])
def test_first_commands_at_once(place: Path, number: int) -> None:
    assert at_once(number, place) == [0] * number
    with open_instance(Workspace(place)) as instance:
        assert instance.get_runs_count() == number


@pytest.fixture
def root(place: Path) -> Path:
    (place / PARAMS_FILE).write_text(profile_text("sample"), encoding="utf-8")
    (place / MARKER).write_text("stages: {}\n", encoding="utf-8")
    return place


_WORDS = ("materialize", "--dry-run", "mnist/images")
_COMMAND = (sys.executable, "-m", "dcgan_assets.cli", *_WORDS)


@slow
@pytest.mark.parametrize("seed", range(4))
def test_a_first_command_killed_at_a_random_moment(root: Path, seed: int) -> None:
    """From when the home's folder is there to when a whole home has been there for a moment."""
    quiet: Any = {"cwd": root, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(_COMMAND, **quiet) as process:
        while not (root / ".dagster_home").exists():
            assert process.poll() is None
        with suppress(subprocess.TimeoutExpired):
            process.wait(random.Random(seed).uniform(0, 0.3))  # noqa: S311
        process.kill()
    again = CliRunner().invoke(main, ["--root", str(root), *_WORDS])
    assert again.exit_code == 0, again.output
    require_whole(root)


@slow
def test_six_first_commands_at_once(root: Path) -> None:
    commands = [
        subprocess.Popen(_COMMAND, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(6)
    ]
    said = [command.communicate()[0] for command in commands]
    assert [command.returncode for command in commands] == [0] * 6, said


@slow
def test_a_first_command_that_is_interrupted(root: Path) -> None:
    with subprocess.Popen(_COMMAND, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        while not (root / ".dagster_home").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.communicate()[1]
    require_whole(root)
