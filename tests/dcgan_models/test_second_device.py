"""What must run on a GPU, on a second device that refuses to compute with the processor's tensors.

In a process of its own (`second_device_run`), which torch's registration of a device changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from checkout import CHECKOUT

pytestmark = pytest.mark.slow

SCRIPT = CHECKOUT / "tests" / "second_device_run.py"
CASES = re.findall(r"^@case\ndef (\w+)", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("second_device")
    words = [sys.executable, str(SCRIPT), str(folder)]
    # Else tests/dcgan_models, beside the script, passes for the package.
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(words, capture_output=True, text=True, cwd=CHECKOUT, env=environment)
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", CASES)
def test_on_a_second_device(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name] == "ok", outcomes[name].replace("\\n", "\n")
