"""How soon a pick is answered with new pictures: `python -m benchmarks.annotate`.

The real `dcgan annotate` in a process of its own, asked over HTTP on the loopback what its page
asks after a pick: the mean of the concept, then nine pictures of an expression over three
concepts, each answer decoded as a browser would. A pick is timed from the first byte sent to the
last picture decoded. Beside it stands the processor time that the server spends, over all its
threads, which depends less on what else the machine does. Once with the LSUN generator at
`--width` (the sample profile's by default) and once at full width; weights are untrained, which
changes no time. The start-up is from the command to its address. Saving is timed apart: the page
does not wait for it.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests
import torch
from PIL import Image

from benchmarks.harness import options, report
from dcgan_assets.engine.store import Artefact, Meta, Store
from dcgan_assets.params.file import profile_text
from dcgan_assets.params.yaml_files import parse_yaml
from dcgan_models.networks import (
    Generator,
    draw_latents,
    estimate_sampling_statistics,
    initialise,
    save_network,
)
from dcgan_models.presets import preset

EXPRESSION = "smiling_woman - neutral_woman + neutral_man"
CONCEPTS = ("smiling_woman", "neutral_woman", "neutral_man")
SAMPLES = 1_024


def publish(root: Path, width: float) -> None:
    """An untrained LSUN generator, published in a workspace of the sample profile."""
    root.mkdir()
    (root / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    rng = torch.Generator().manual_seed(0)
    generator = Generator(preset("lsun64").with_overrides(width=width))
    initialise(generator, rng)
    estimate_sampling_statistics(generator, seed=0, minibatches=2)
    generator.fixed_z = draw_latents(generator.preset, SAMPLES, rng)
    store, artefact = Store(root), Artefact("lsun/generator", "models")
    with store.writing(artefact) as staging:
        save_network(generator, staging)
        meta = Meta(
            key=artefact.key,
            shard=None,
            data_version=store.content_version(staging),
            code_version="",
            fingerprint="",
            inputs={},
            seed=0,
            params_seed=0,
            created="",
            duration_s=0.0,
            hardware="",
        )
        store.publish(staging, artefact, meta)


class Page:
    """Asks a running server as the page does."""

    def __init__(self, address: str) -> None:
        self.url, _, token = address.partition("/#")
        self.session = requests.Session()
        self.session.headers["x-annotate-token"] = token
        rows = np.random.default_rng(0).permutation(SAMPLES).tolist()
        self.concepts = {name: rows[3 * i : 3 * i + 3] for i, name in enumerate(CONCEPTS)}
        self.fresh = iter(rows[9:])
        start = self._ask("GET", "start").json()
        self.revision = start["revisions"]["concepts"]

    def _ask(self, method: str, path: str, content: Any = None) -> requests.Response:
        answer = self.session.request(method, f"{self.url}/api/{path}", json=content, timeout=120)
        answer.raise_for_status()
        return answer

    def _draw(self, wish: dict[str, str]) -> None:
        answer = self._ask("POST", "draw", {"wish": wish, "concepts": self.concepts})
        Image.open(io.BytesIO(answer.content)).load()

    def pick(self) -> float:
        """Put a sample in the place of another; seconds until all new pictures are there."""
        self.concepts[CONCEPTS[0]] = [*self.concepts[CONCEPTS[0]][1:], next(self.fresh)]
        start = time.perf_counter()
        self._draw({"draw": "mean", "concept": CONCEPTS[0]})
        self._draw({"draw": "arithmetic", "expression": EXPRESSION})
        return time.perf_counter() - start

    def save(self) -> float:
        """Seconds of one save, the file flushed to disk."""
        start = time.perf_counter()
        content = {"revision": self.revision, "content": self.concepts}
        self.revision = self._ask("PUT", "concepts", content).json()["revision"]
        return time.perf_counter() - start

    def samples(self, page: int) -> float:
        """Seconds of one page of samples."""
        start = time.perf_counter()
        self._ask("GET", f"samples/{page}")
        return time.perf_counter() - start


def measure(root: Path, picks: int) -> dict[str, list[float]]:
    """Milliseconds of picks, saves and pages, and seconds of the start-up."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "dcgan_assets.cli", "--root", str(root), "annotate", "lsun"]
    with subprocess.Popen(
        [*command, "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            page = Page(process.stdout.readline().split()[0])
            figures = {
                "start-up (s)": [time.perf_counter() - start],
                "start-up, processor time (s)": [_spent(process.pid)],
            }
            page.pick()
            before = _spent(process.pid)
            figures["pick, 10 pictures (ms)"] = [page.pick() * 1e3 for _ in range(picks)]
            mean = (_spent(process.pid) - before) / picks
            figures["pick, processor time, mean (ms)"] = [mean * 1e3]
            figures["save (ms)"] = [page.save() * 1e3 for _ in range(picks)]
            pages = range(min(picks, SAMPLES // 32))
            figures["32 samples (ms)"] = [page.samples(number) * 1e3 for number in pages]
        finally:
            process.terminate()
    return figures


def _spent(pid: int) -> float:
    """Seconds of processor time of a process."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = options("How soon a pick is answered with new pictures.", runs=40)
    sample = parse_yaml(profile_text("sample"), "sample")["lsun"]["candidate"]["width"]
    parser.add_argument("--width", type=float, default=sample, help="of the narrow generator")
    arguments = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, width in (("sample width", arguments.width), ("full width", 1.0)):
            root = Path(folder) / name.replace(" ", "_")
            publish(root, width)
            found = measure(root, arguments.runs)
            figures.update({f"{name}: {what}": values for what, values in found.items()})
    report({"sample width": arguments.width}, figures, arguments.json)


if __name__ == "__main__":
    main()
