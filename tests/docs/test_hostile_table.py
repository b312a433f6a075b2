"""The table with which `make test-hostile` ends counts each case once, run by two processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from checkout import CHECKOUT

CASES = """
import pytest

@pytest.fixture
def left(): yield; assert False

@pytest.mark.parametrize("case", range(5))
def test_of_five_one_is_wrong(case): assert case != 3

def test_what_is_wrong_afterwards_is_wrong(left): pass

@pytest.mark.skip
def test_what_was_not_tried_does_not_count(): pass
"""


def test_each_case_counts_once(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    shutil.copy(CHECKOUT / "tests" / "hostile" / "conftest.py", hostile)
    (hostile / "test_params_files.py").write_text(CASES, encoding="utf-8")
    (hostile / "test_odd_things.py").write_text("def test_it(): pass", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "xdist", "hostile"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # seconds of imports each
        capture_output=True,
        text=True,
    )
    table = done.stdout.partition(" attacks ")[2].partition("\n===")[0].splitlines()
    rows = [line.rsplit(maxsplit=2) for line in table if line[-1:].isdigit()]
    assert rows == [["odd things", "1", "1"], ["params", "6", "4"], ["all", "7", "5"]], done.stdout
