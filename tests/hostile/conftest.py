"""`make test-hostile` ends with a table: what was attacked, how often, and how often it held."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter
from tabulate import tabulate

# What a module attacks, in the table's words; a module that is not named here is an area by itself.
AREAS = {
    "test_addresses": "addresses, resolver",
    "test_annotation_files": "annotate",
    "test_annotation_server": "annotate",
    "test_any_foreign_tree": "folders of others",
    "test_archives": "archives",
    "test_autoencoder_files": "model folders",
    "test_cifar10_files": "archives",
    "test_decoders": "pictures",
    "test_degenerate_groups": "groups of little",
    "test_downloader": "servers",
    "test_echoed_secrets": "servers",
    "test_extractor_files": "model folders",
    "test_feature_tables": "Parquet",
    "test_file_servers": "fetch",
    "test_folders": "folders of others",
    "test_histories": "model folders",
    "test_idx_files": "archives",
    "test_imagenet_files": "archives",
    "test_input_files": "folders of others",
    "test_killed_commands": "kills",
    "test_known_apis": "servers",
    "test_lsun_databases": "archives",
    "test_meta_files": "_meta",
    "test_network_folders": "model folders",
    "test_output_places": "folders of others",
    "test_parquet_files": "Parquet",
    "test_params_files": "params",
    "test_picture_files": "pictures",
    "test_pixel_stores": "Parquet",
    "test_released_arrays": "archives",
    "test_removal_lists": "removal lists",
    "test_removing": "folders of others",
    "test_robots_files": "servers",
    "test_saved_states": "model folders",
    "test_served_results": "the web UI's door",
    "test_served_trainings": "the web UI's door",
    "test_user_places": "folder names",
    "test_web_ui": "the web UI's door",
}
HERE = Path(__file__).parent
_BAD = ("failed", "error")


def area_of(node_id: str) -> str:
    """The area of a test, by the module that it stands in."""
    module = Path(node_id.split("::", maxsplit=1)[0]).stem
    return AREAS.get(module, module.removeprefix("test_").replace("_", " "))


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the table where nothing else than this folder was asked for."""
    asked = [config.invocation_params.dir / name.split("::")[0] for name in config.args]
    if not all(path.resolve().is_relative_to(HERE) for path in asked):
        return
    ends = {
        name: {report.nodeid for report in terminalreporter.stats.get(name, ())}
        for name in ("passed", *_BAD)
    }
    bad = set().union(*(ends[name] for name in _BAD))
    tried = Counter(map(area_of, ends["passed"] | bad))
    right = Counter(map(area_of, ends["passed"] - bad))
    rows = [(area, tried[area], right[area]) for area in sorted(tried, key=str.lower)]
    rows.append(("all", tried.total(), right.total()))
    terminalreporter.section("attacks")
    terminalreporter.write_line(tabulate(rows, ("area", "tried", "right")))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, in memory where the system has such a disk: SQLite flushes at every step."""
    for name in ("DCGAN_ROOT", "DAGSTER_HOME"):  # `prepare_home` sets them
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)
    memory = "/dev/shm"  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)
