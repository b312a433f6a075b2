"""Wheels of one module, for an index on loopback."""

from __future__ import annotations

import zipfile
from pathlib import Path


def write_wheel(folder: Path, name: str, version: str, pipeline: str = "") -> Path:
    """A wheel with one module, which says its version; `pipeline` is what that extra needs."""
    module = name.replace("-", "_")
    about = f"{module}-{version}.dist-info"
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{module}.py", f"version = {version!r}\n")
        needs = f"Requires-Dist: {pipeline}; extra == 'pipeline'\n" if pipeline else ""
        extras = "Provides-Extra: pipeline\nProvides-Extra: fidelity\n"
        wheel.writestr(
            f"{about}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{extras}{needs}",
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return path
