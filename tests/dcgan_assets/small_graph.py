"""A small asset graph of our own: numbers for pictures, and every path of the engine in it.

    toy/images [shards] ─┬─ toy/boxes [same shards] ─┐
                         └─ toy/mean ─┬──────────────┴─ toy/summary
                                      └─ toy/candidate ─ toy/generator, /discriminator ─ toy/samples
    toy/constant, toy/patient: on their own

and, where `quality` is asked for, toy/extractor, which is kept, and toy/quality, transient like the
candidate that it measures, before toy/generator; where `page` is, toy/page, which reads toy/mean
and toy/constant if they are there; where `left` is, toy/left and
toy/right, which wait for each other.

As a script it materialises `toy/patient` below ROOT, so that a test can kill it; or the keys that
follow ROOT and nothing before them, as the commands in dvc.yaml do.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import numpy as np
import yaml
from dvc_in_process import dvc_status
from pydantic import Field

from dcgan_assets.cli.init import TEMPLATES
from dcgan_assets.cli.materialize import Request, bring_up_to_date
from dcgan_assets.dvc.dvc_settings import keep_private, new_settings
from dcgan_assets.dvc.dvc_yaml import write_dvc_yaml
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.instance import prepare_home
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Reading, Step, Verdict
from dcgan_assets.engine.store import Meta
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.automation import Retention, Retraining
from dcgan_assets.params.base import Section
from dcgan_assets.params.file import Machine
from dcgan_assets.sources.reading.listing import listing_version
from dcgan_models.errors import UserError
from dcgan_models.files import read_json, write_json
from dcgan_models.grids import write_png

DEFAULTS: dict[str, Any] = {
    "profile": "sample",
    "seed": 42,
    "machine": {"device": "auto"},
    "images": {"shards": 3},
    "boxes": {"shards": 3, "factor": 10},
    "mean": {"limit": 100.0},
    "summary": {"digits": 3},
    "candidate": {"healthy": True},
    "publish": {"margin": 0.0},
    "samples": {"count": 4},
    "constant": {"value": 7},
    "patient": {"note": "none"},
    "retraining": {},
    "retention": {},
}

# All but `toy/patient`, which waits to be released.
MADE_AT_ONCE = (
    "images",
    "boxes",
    "mean",
    "summary",
    "candidate",
    "generator",
    "samples",
    "constant",
)

IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "tester"), ("EMAIL", "tester@example.org"))
} | {"GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "true"}

# How a test and `toy/patient`, which runs in the same process, wait for each other.
STARTED = threading.Event()
RELEASED = threading.Event()


class Images(Section):
    shards: int


class Boxes(Section):
    shards: int
    factor: int


class Mean(Section):
    limit: float


class Summary(Section):
    digits: int


class Candidate(Section):
    healthy: bool


class Publish(Section):
    margin: float


class Samples(Section):
    count: int


class Constant(Section):
    value: int


class Patient(Section):
    note: str


class SmallParams(Section):
    profile: Literal["sample"]
    seed: int
    machine: Machine = Field(default_factory=Machine)
    retraining: Retraining = Field(default_factory=Retraining)
    retention: Retention = Field(default_factory=Retention)
    images: Images
    boxes: Boxes
    mean: Mean
    summary: Summary
    candidate: Candidate
    publish: Publish
    samples: Samples
    constant: Constant
    patient: Patient

    def section(self, path: str) -> Section:
        found: Section = getattr(self, path)
        return found


@dataclass(frozen=True)
class SmallWorkspace(Workspace):
    @cached_property
    def params(self) -> Any:
        text = (self.root / "params.yaml").read_text(encoding="utf-8")
        return SmallParams.model_validate(yaml.safe_load(text))


# --- The steps' functions -------------------------------------------------------------------


def _shard_names(reading: Reading) -> tuple[str, ...]:
    section: Images | Boxes = reading.section
    return tuple(f"{number:02d}" for number in range(section.shards))


def _listing(reading: Reading) -> str:
    return listing_version(reading.root / "source")


def _images(work: Work) -> Outcome:
    if (work.root / f"fail-{work.shard}").exists():
        raise UserError(f"shard {work.shard} is told to fail")
    value = float((work.root / "source" / f"{work.shard}.txt").read_text(encoding="utf-8"))
    write_json(work.out() / "value.json", value)
    # Like a speed, it is another one each time.
    return Outcome(metadata={"value": value, "a_second": time.monotonic()})


def _boxes(work: Work) -> Outcome:
    values = [read_json(folder / "value.json") for folder in work.input_shards("toy/images")]
    write_json(work.out() / "value.json", sum(values) * work.section.factor)
    return Outcome()


def _mean(work: Work) -> Outcome:
    values = [read_json(folder / "value.json") for folder in work.input_shards("toy/images")]
    mean = sum(values) / len(values)
    write_json(work.out() / "mean.json", mean)
    if mean <= 0:
        work.warn("the mean is not positive")
    bounded = mean <= work.section.limit
    return Outcome(
        metadata={"mean": mean, "shards": len(values)},
        verdicts=(
            Verdict("bounded", bounded, {"mean": mean, "limit": work.section.limit}),
            Verdict("positive", mean > 0, {"mean": mean}),
        ),
        summary=f"the mean of {len(values)} is {mean:g}",
    )


def _summary(work: Work) -> Outcome:
    boxes = [read_json(folder / "value.json") for folder in work.input_shards("toy/boxes")]
    mean = read_json(work.input("toy/mean") / "mean.json")
    rows = [
        Row(name="boxes", value=round(sum(boxes), work.section.digits)),
        Row(name="mean", value=mean),
    ]
    work.result(paper_ref="Figure 0", stand_in=True, rows=rows).write(work.out())
    return Outcome()


def _candidate(work: Work) -> Outcome:
    work.observe({"step": 1, "d_loss": 0.5})
    weights = random.Random(work.seed).random()  # noqa: S311
    for role in ("generator", "discriminator"):
        (work.out() / role).mkdir()
        write_json(work.out() / role / "weights.json", {role: weights})
    write_png(work.out() / "losses.png", np.full((4, 6, 3), 200, np.uint8))
    healthy = Verdict("healthy", work.section.healthy, {"seed": work.seed})
    return Outcome(verdicts=(healthy,), figures={"losses.png": "a grey picture"})


def _publish(work: Work) -> Outcome:
    """Like `publish_champion`: an unhealthy candidate never replaces what is published."""
    (check,) = work.input_meta("toy/candidate").checks
    if not check["passed"] and work.published("toy/generator") is None:
        raise UserError("toy/generator: the candidate is unhealthy and nothing is published yet")
    if not check["passed"]:
        work.keep_published()
        return Outcome(metadata={"decision": "kept the champion"})
    for key in work.step.outputs:
        role = key.split("/")[1]
        weights = read_json(work.input("toy/candidate") / role / "weights.json")
        write_json(work.out(key) / "weights.json", weights)
    return Outcome(metadata={"decision": "published the candidate"})


def _extractor(work: Work) -> Outcome:
    write_json(work.out() / "mean.json", read_json(work.input("toy/mean") / "mean.json"))
    return Outcome()


def _quality(work: Work) -> Outcome:
    weights = read_json(work.input("toy/candidate") / "generator" / "weights.json")["generator"]
    trained_on = read_json(work.input("toy/extractor") / "mean.json")
    write_json(work.out() / "score.json", round(weights * trained_on, work.section.digits))
    return Outcome()


def _samples(work: Work) -> Outcome:
    weights = read_json(work.input("toy/generator") / "weights.json")["generator"]
    rows = [Row(name=str(n), value=weights * n) for n in range(work.section.count)]
    work.result(paper_ref="Figure 0", stand_in=True, rows=rows).write(work.out())
    return Outcome()


def _constant(work: Work) -> Outcome:
    write_json(work.out() / "value.json", work.section.value)
    return Outcome()


def _page(work: Work) -> Outcome:
    write_json(work.out() / "found.json", sorted(work.found()))
    return Outcome()


def _patient(work: Work) -> Outcome:
    """Wait until a test releases it, or until it is asked to stop; then stop as training does."""
    print("patient: started", flush=True)
    STARTED.set()
    # A signal only raises the flag, and no event is set by it: look now and then.
    while not RELEASED.wait(0.02):
        if work.stop():
            work.stop.stop_now()
    write_json(work.out() / "value.json", "released")
    return Outcome()


def _meet(work: Work) -> Outcome:
    """Wait until the other one of the two is at work as well."""
    mine = work.root / f"met-{work.step.op_name}"
    mine.touch()
    until = time.monotonic() + 300
    while len(list(work.root.glob("met-*"))) < 2:
        if time.monotonic() > until:
            raise UserError("nobody came")
        time.sleep(0.01)
    (work.out() / "threads.txt").write_text(os.environ.get("OMP_NUM_THREADS", ""), encoding="utf-8")
    return Outcome()


# --- The steps ------------------------------------------------------------------------------


def _step(name: str, kind: Any, compute: Any, **facts: Any) -> Step:
    facts = {"outputs": (f"toy/{name}",), "description": "Figure 0", **facts}
    return Step(kind=kind, compute=compute, section=facts.pop("section", name), **facts)


STEPS = (
    _step(
        "images",
        "data",
        _images,
        shards=_shard_names,
        source_version=_listing,
        files=lambda _: ("source",),
    ),
    _step("boxes", "data", _boxes, inputs=("toy/images",), shards=_shard_names),
    _step(
        "mean",
        "data",
        _mean,
        inputs=("toy/images",),
        checks=(
            Check("bounded", "The mean is below the limit.", required=True),
            Check("positive", "The mean is positive."),
        ),
    ),
    _step("summary", "results", _summary, inputs=("toy/boxes", "toy/mean"), shows=("result.json",)),
    _step(
        "candidate",
        "models",
        _candidate,
        inputs=("toy/mean",),
        checks=(Check("healthy", "As params.yaml says."),),
        seeded=True,
        transient=True,
        pool="gpu",
    ),
    _step(
        "generator",
        "models",
        _publish,
        outputs=("toy/generator", "toy/discriminator"),
        inputs=("toy/candidate", "toy/mean"),
        section="publish",
    ),
    _step("samples", "results", _samples, inputs=("toy/generator",)),
    _step("constant", "data", _constant),
    _step("patient", "data", _patient, pool="gpu"),
)

_GATE = (
    _step("extractor", "models", _extractor, inputs=("toy/mean",), section="constant", kept=True),
    _step(
        "quality",
        "results",
        _quality,
        inputs=("toy/mean", "toy/extractor", "toy/candidate"),
        section="summary",
        transient=True,
    ),
)
GATED = (
    *_GATE,
    *(
        replace(step, inputs=("toy/candidate", "toy/quality", "toy/mean"))
        if step.key == "toy/generator"
        else step
        for step in STEPS
    ),
)

# From pictures to networks, by the gate.
GATED_NAMES = ("images", "mean", "extractor", "candidate", "quality", "generator", "samples")


PAGE = _step("page", "results", _page, section="patient", if_there=("toy/mean", "toy/constant"))


def write_workspace(root: Path, **sections: Any) -> None:
    """Write params.yaml and one source file a shard below `root`."""
    params = {key: dict(v) if isinstance(v, dict) else v for key, v in DEFAULTS.items()}
    for name, change in sections.items():
        params[name] = {**params[name], **change} if isinstance(change, dict) else change
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def open_graph(root: Path, names: tuple[str, ...] = ()) -> Catalogue:
    """The catalogue of a workspace, of the named steps alone where there are names."""
    known = GATED if "quality" in names else STEPS
    known = (*known, PAGE) if "page" in names else known
    known = (*known, *MEETING) if "left" in names else known
    steps = [step for step in known if not names or step.key.split("/")[1] in names]
    return Catalogue(SmallWorkspace(root), tuple(steps))


# --- What tests do with it ------------------------------------------------------------------

# Two that are only made at the same time.
MEETING = tuple(
    _step(name, "data", _meet, section="constant", pool="gpu") for name in ("left", "right")
)


@dataclass
class Ran:
    """What one call of `dcgan materialize` on the small graph came to."""

    code: int
    lines: list[str]

    def starting(self, word: str) -> list[str]:
        """The lines that start with a word."""
        return [line for line in self.lines if line.startswith(word)]

    @property
    def made(self) -> list[str]:
        """Labels of what was made, in order; what was memoised is not among them."""
        return [line.split(":")[0] for line in self.lines if line.endswith(": making")]

    @property
    def planned(self) -> list[str]:
        """Labels in the plan."""
        return [line.split(":")[0].strip() for line in self.lines if line.startswith("  ")]


@dataclass
class SmallGraph:
    """A workspace of the small graph."""

    root: Path
    names: tuple[str, ...] = ()
    sections: dict[str, Any] = field(default_factory=dict)

    def only(self, *names: str) -> SmallGraph:
        """The graph of these steps alone, to keep the runs few."""
        self.names = names
        return self

    def change(self, **sections: Any) -> None:
        """Change sections of params.yaml: `change(mean={"limit": 3.0}, seed=43)`."""
        for name, change in sections.items():
            old = self.sections.get(name, {})
            self.sections[name] = {**old, **change} if isinstance(change, dict) else change
        write_workspace(self.root, **self.sections)

    def write_source(self, shard: str, value: float) -> None:
        """Write the file outside the graph that a shard of `toy/images` is read from."""
        (self.root / "source").mkdir(exist_ok=True)
        (self.root / "source" / f"{shard}.txt").write_text(str(value), encoding="utf-8")

    def under_dvc(self) -> SmallGraph:
        """Make the workspace a git repository with DVC, as `dcgan init` does."""
        folder = self.root / ".dvc"
        folder.mkdir()
        (folder / "config").write_bytes(new_settings(self.root))
        (folder / ".gitignore").write_text("/config.local\n/tmp\n/cache\n", encoding="utf-8")
        keep_private(self.root)
        for source, target in TEMPLATES.items():
            template = resources.files("dcgan_assets.cli") / "templates" / source
            (self.root / target).write_text(template.read_text("utf-8"), encoding="utf-8")
        write_dvc_yaml(self.catalogue(), ())
        self.call("git", "init", "--quiet")
        self.commit_all("a workspace")
        return self

    def call(self, *command: str) -> str:
        """Run git or DVC in the workspace; its output."""
        done = subprocess.run(
            command, cwd=self.root, env=os.environ | IDENTITY, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def dvc(self, *arguments: str) -> None:
        """Run DVC in the workspace, in this process: to import it takes seconds."""
        from dvc.cli import main as dvc

        with contextlib.chdir(self.root):
            assert dvc(arguments) == 0, arguments

    def dvc_status(self) -> dict[str, Any]:
        """What `dvc status --json` says in the workspace."""
        return dvc_status(self.root)

    def commit_all(self, message: str) -> None:
        """Commit everything that git sees."""
        self.call("git", "add", "--all")
        self.call("git", "commit", "--quiet", "--message", message)

    def catalogue(self) -> Catalogue:
        """The steps with params.yaml as it is now."""
        return open_graph(self.root, self.names)

    def run(self, *keys: str, **request: Any) -> Ran:
        """`dcgan materialize KEY... --...`, in this process."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = bring_up_to_date(self.catalogue(), Request(keys, **request))
        return Ran(code, out.getvalue().splitlines())

    @contextlib.contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's records of this workspace."""
        prepare_home(self.catalogue().workspace)
        with dg.DagsterInstance.get() as instance:
            yield instance

    def meta(self, key: str, shard: str | None = None) -> Meta:
        """The record of a published artefact."""
        catalogue = self.catalogue()
        meta = catalogue.store.meta(catalogue.artefact(key, shard))
        assert meta is not None, f"{key} is not published"
        return meta

    def recorded(self, key: str) -> dict[str | None, str]:
        """Dagster's latest data version of each partition of an asset."""
        with self.instance() as instance:
            records = instance.fetch_materializations(
                dg.AssetKey(key.split("/")), limit=100
            ).records
        latest: dict[str | None, str] = {}
        for record in records:  # the newest first
            event = record.asset_materialization
            assert event is not None
            assert event.tags is not None
            latest.setdefault(event.partition, event.tags["dagster/data_version"])
        return latest


def main() -> int:
    root, *keys = sys.argv[1:]
    request = Request(tuple(keys), only=bool(keys))
    graph = open_graph(Path(root).resolve(), MADE_AT_ONCE if keys else ("patient",))
    try:
        return bring_up_to_date(graph, request)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
