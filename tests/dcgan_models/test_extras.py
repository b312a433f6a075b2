"""A package that an extra brings, where it is not installed: one line that names the extra."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dcgan_models.errors import UserError
from dcgan_models.extras import from_extra, missing


def test_what_is_there_is_given() -> None:
    import json

    assert from_extra("json", "reading", "json") is json


def test_what_lacks_is_one_line_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UserError) as caught:
        from_extra("torch_fidelity", "true FID", "fidelity")
    assert str(caught.value) == (
        "true FID needs torch_fidelity, which is not installed: "
        "pip install 'dcgan-assets[fidelity]'"
    )


def test_a_lacking_module_of_ours_is_our_fault() -> None:
    with pytest.raises(ModuleNotFoundError):
        missing(ModuleNotFoundError(name="dcgan_models.gone"), "dcgan", "pipeline")


@pytest.mark.parametrize(
    "package", ["click", "dagster", pytest.param("dvc", marks=pytest.mark.slow), "pydantic"]
)
def test_the_command_without_the_pipeline(package: str) -> None:
    """Presets, networks and training are installed alone; `dcgan` then says what it lacks."""
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "sys.argv = ['dcgan', 'status']\n"
        "from dcgan_assets.__main__ import main; main()"
    )
    environment = {k: v for k, v in os.environ.items() if k not in {"DCGAN_ROOT", "DAGSTER_HOME"}}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: dcgan needs {package}, which is not installed: "
        "pip install 'dcgan-assets[pipeline]'\n"
    )
    assert done.stdout == ""
