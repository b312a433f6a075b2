"""`make set-up` and `make resolve` from an index on loopback: the locks, CPU builds, plain pip."""

from __future__ import annotations

import ensurepip
import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import CHECKOUT
from wheels import write_wheel

pytestmark = pytest.mark.slow

_LOCKED = ("torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit", "tinything")
_BACKEND = """
import sys
import sysconfig
sys.path.insert(0, {packages!r})
from wheels import write_wheel
from pathlib import Path
def build_editable(folder, *_):
    return write_wheel(Path(folder), "ours", "1.0", {needs!r}).name
build_wheel = build_editable
"""


class _Index:
    """Two package indexes in folders: the usual one, and that of the CPU builds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hashes: dict[str, str] = {}

    def add(self, index: str, name: str, version: str) -> None:
        place = self.folder / index / name
        place.mkdir(parents=True, exist_ok=True)
        wheel = write_wheel(place, name, version)
        self.hashes[name] = hashlib.sha256(wheel.read_bytes()).hexdigest()
        links = (f'<a href="{each.name}">{each.name}</a>' for each in place.glob("*.whl"))
        (place / "index.html").write_text("".join(links), encoding="utf-8")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[_Index, str]]:
    index = _Index(tmp_path / "index")
    for name in _LOCKED:
        index.add("usual", name, "1.0")
    handler = functools.partial(_Quiet, directory=str(index.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield index, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.fixture
def project(tmp_path: Path, server: tuple[_Index, str]) -> Path:
    """A checkout in small: our Makefile, locks of that index, a project that builds itself."""
    root = tmp_path / "checkout"
    root.mkdir()
    shutil.copy(CHECKOUT / "Makefile", root)
    lines = [f"{name}==1.0 \\\n    --hash=sha256:{server[0].hashes[name]}\n" for name in _LOCKED]
    (root / "requirements.lock").write_text("".join(lines), encoding="utf-8")
    (root / "requirements-dev.lock").write_text("", encoding="utf-8")
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "ours"\nversion = "1.0"\n',
        encoding="utf-8",
    )
    shutil.copy(Path(__file__).with_name("wheels.py"), root)
    _write_backend(root, "")
    return root


def _write_backend(root: Path, needs: str) -> None:
    backend = _BACKEND.format(packages=str(root), needs=needs)
    (root / "backend.py").write_text(backend, encoding="utf-8")


def _make(
    project: Path, installer: str, address: str, *words: str, target: str = "set-up"
) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        # Nor those of the make that runs the tests.
        if not name.startswith(("PIP_", "UV_", "MAKE", "MFLAGS"))
    }
    environment |= {
        "UV_DEFAULT_INDEX": f"{address}/usual",
        "UV_INDEX": f"{address}/cpu",
        "UV_NO_CACHE": "1",
        "UV_NO_CONFIG": "1",
        "PIP_INDEX_URL": f"{address}/usual",
        "PIP_EXTRA_INDEX_URL": f"{address}/cpu",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    chosen = [f"UV={shutil.which('uv') or ''}" if installer == "uv" else "UV="]
    return subprocess.run(
        ["make", target, *chosen, *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )


def _installed(project: Path) -> dict[str, str]:
    found = (project / ".venv").glob("lib/python*/site-packages/*.dist-info")
    pairs = (folder.name.removesuffix(".dist-info").split("-") for folder in found)
    return {name: version for name, version in pairs if name not in {"pip", "setuptools", "wheel"}}


_NO_UV = pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
by_each_installer = pytest.mark.parametrize("installer", [pytest.param("uv", marks=_NO_UV), "pip"])


@by_each_installer
def test_the_cpu_builds_take_the_place_of_cuda(
    project: Path, server: tuple[_Index, str], installer: str
) -> None:
    index, address = server
    for name in ("torch", "torchvision"):
        index.add("cpu", name, "1.0+cpu")
    done = _make(project, installer, address, "TORCH=cpu")
    assert done.returncode == 0, done.stderr
    cpu = {"torch": "1.0+cpu", "torchvision": "1.0+cpu"}
    assert _installed(project) == {**cpu, "tinything": "1.0", "ours": "1.0"}


@by_each_installer
def test_without_it_everything_is_as_locked(
    project: Path, server: tuple[_Index, str], installer: str
) -> None:
    done = _make(project, installer, server[1])
    assert done.returncode == 0, done.stderr
    locked = {name.replace("-", "_"): "1.0" for name in _LOCKED}
    assert _installed(project) == {**locked, "ours": "1.0"}


def test_an_index_without_cpu_builds_ends_it(project: Path, server: tuple[_Index, str]) -> None:
    done = _make(project, "pip", server[1], "TORCH=cpu")
    assert done.returncode != 0
    assert "torch==1.0+cpu" in done.stderr
    assert not (project / ".venv" / ".installed").exists()


def test_another_word_is_refused(project: Path, server: tuple[_Index, str]) -> None:
    done = _make(project, "pip", server[1], "TORCH=gpu")
    assert done.returncode != 0
    assert "error: TORCH=gpu; allowed: cpu, or nothing" in done.stdout
    assert not (project / ".venv").exists()


# --- make resolve -----------------------------------------------------------------------------


@pytest.fixture
def set_up(project: Path, server: tuple[_Index, str]) -> Path:
    """A checkout that is set up, and an index that has pip: the one that Python brings."""
    stamp = project / ".venv/.installed"
    stamp.parent.mkdir()
    stamp.touch()
    place = server[0].folder / "usual/pip"
    place.mkdir()
    debians = sysconfig.get_config_var("WHEEL_PKG_DIR")
    wheels = Path(debians) if debians else Path(ensurepip.__file__).parent / "_bundled"
    (bundled,) = wheels.glob("pip-*.whl")
    shutil.copy(bundled, place)
    (place / "index.html").write_text(f'<a href="{bundled.name}">{bundled.name}</a>', "utf-8")
    return project


def test_pip_finds_what_an_extra_needs(set_up: Path, server: tuple[_Index, str]) -> None:
    _write_backend(set_up, "tinything>=1")
    done = _make(set_up, "pip", server[1], target="resolve")
    assert (done.returncode, done.stdout, done.stderr) == (0, "pip finds packages\n", "")


def test_what_has_no_solution_ends_it(set_up: Path, server: tuple[_Index, str]) -> None:
    _write_backend(set_up, "tinything>=2")
    done = _make(set_up, "pip", server[1], target="resolve")
    assert done.returncode != 0
    assert "tinything>=2" in done.stderr
    assert "pip finds packages" not in done.stdout


def test_without_an_index_it_says_so_in_one_line(set_up: Path) -> None:
    done = _make(set_up, "pip", "http://127.0.0.1:9", target="resolve")
    assert done.returncode != 0
    assert done.stdout == "error: no package index answers; pip's own settings name one\n"
    assert done.stderr.startswith("make: *** ")
