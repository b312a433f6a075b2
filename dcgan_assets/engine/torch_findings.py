"""What torch is and sees here, asked in a process of its own: `python -m` this module.

Loading torch takes as long as all else that `dcgan doctor` does, so it goes on beside that; and a
torch that cannot be loaded, or kills its process, is a finding like others.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from dcgan_assets.engine.terminal import Finding

_PACKAGES = Path(__file__).parents[2]  # from where we were imported


@contextmanager
def torch_asked() -> Iterator[subprocess.Popen[str]]:
    """Begin to look at torch; `torch_findings` of what this gives waits for the end."""
    words = [sys.executable, "-m", __name__]
    with subprocess.Popen(
        words, cwd=_PACKAGES, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # where nobody waited; one that has ended is let be


def torch_findings(process: subprocess.Popen[str]) -> list[Finding]:
    """What was found of torch and of the device that it chooses."""
    said, complaint = process.communicate()
    if process.returncode == 0:
        return [Finding(**finding) for finding in json.loads(said)]
    lines = complaint.split("\n")
    cause = next((line.strip() for line in reversed(lines) if line.strip()), "nothing was said")
    detail = f"cannot be used (exit code {process.returncode}: {cause}); install it anew"
    return [Finding("FAIL", "torch", detail)]


def examine_torch() -> Finding:
    """Whether torch and torchvision come from one build family."""
    import torch

    versions = f"torch {torch.__version__}"
    try:
        versions += f", torchvision {_load_operators()}"
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        torch.ops.torchvision.nms(boxes, torch.ones(1), 0.5)
    except (ImportError, RuntimeError, AttributeError) as error:
        cause = str(error).splitlines()[0]
        return Finding(
            "FAIL", "torch", f"{versions}: not from one build family ({cause}); install both anew"
        )
    return Finding("ok", "torch", f"{versions}, one build family")


def _load_operators() -> str:
    """Have torchvision load and compare what it compiled, as it does when imported; its version.

    The rest of it, its networks, loads torch's compiler: a second and a half for nothing here.
    """
    name = "torchvision"
    if name in sys.modules:
        return str(sys.modules[name].__version__)
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ImportError(f"{name} is not installed")
    sys.modules[name] = importlib.util.module_from_spec(spec)  # found, and not run
    try:
        importlib.import_module(f"{name}.extension")._assert_has_ops()
        return str(importlib.import_module(f"{name}.version").__version__)
    finally:
        for loaded in [one for one in sys.modules if one.split(".")[0] == name]:
            del sys.modules[loaded]


def _examine_device() -> Finding:
    import torch

    from dcgan_models.machine import choose_device, choose_precision, missing_for_compiling

    device = choose_device("auto")
    precision = str(choose_precision("auto", device)).removeprefix("torch.")
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        words = f"{torch.cuda.get_device_name()}, {memory:.0f} GiB, {precision}"
        lacking = missing_for_compiling()
        if lacking:
            words += f"; long trainings are slower: nothing is compiled, for here is no {lacking}"
        return Finding("note" if lacking else "ok", "gpu", words)
    return Finding(
        "note", "gpu", f"none: training runs on {torch.get_num_threads()} CPU threads, {precision}"
    )


if __name__ == "__main__":
    print(json.dumps([asdict(examine_torch()), asdict(_examine_device())]))
